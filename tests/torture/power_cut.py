"""A power cut after every flush, rename and removal. SIGKILL keeps the data in memory, a power cut loses it.

A process writes, and every call that orders things on a disk is recorded. After each call, two disks are
constructed and checked, the worst that a power cut may leave:

- late names: files and folders as they were flushed last, nothing newer;
- early names: the current names, as a journal may have them, with the flushed contents.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.torture import builds
from tests.torture.faults import Case, Fault, expect
from tests.torture.training import Training, forget_ours
from training.snapshots import Snapshot, newest_whole

Names = dict[str, int]


class Disk:
    """The flushed content of a folder, which may lag behind the processes' view; at the start both are the same."""

    def __init__(self, root: Path):
        self.root = root.resolve()
        self._handles: dict[int, int] = {}  # kept open, so that no file's number is given to another
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, Names] = {}
        for path in [self.root, *self.root.rglob("*")]:
            self.flush(path)

    def flush(self, path: Path) -> None:
        """A file or a folder was flushed."""
        number = self._number(path)
        if path.is_dir():
            self._names[number] = self._listing(path)
        else:
            self._contents[number] = path.read_bytes()

    def worst(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Each of the worst disks of this moment: its kind, and contents by path."""
        yield "late names", dict(self._walk(self._number(self.root), self._names, Path()))
        now = {self._number(path): self._listing(path) for path in [self.root, *self.root.rglob("*")] if path.is_dir()}
        yield "early names", dict(self._walk(self._number(self.root), now, Path()))

    def _listing(self, folder: Path) -> Names:
        return {entry.name: self._number(Path(entry)) for entry in os.scandir(folder)}

    def _number(self, path: Path) -> int:
        number = os.stat(path).st_ino
        if number not in self._handles:
            self._handles[number] = os.open(path, os.O_RDONLY)
        return number

    def _walk(self, folder: int, names: dict[int, Names], place: Path) -> Iterator[tuple[str, bytes]]:
        for name, number in names.get(folder, {}).items():
            if os.path.isdir(f"/proc/self/fd/{self._handles[number]}"):
                yield from self._walk(number, names, place / name)
            else:
                yield str(place / name), self._contents.get(number, b"")

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles.values():
            os.close(handle)


@contextmanager
def recorded(disk: Disk, look: Callable[[dict[str, bytes], str], None]) -> Iterator[None]:
    """In this context, `look` gets the worst disks of the moment after every flush, rename and removal."""
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "rmdir")}
    looking = False

    def after(what: str) -> None:
        nonlocal looking
        if not looking:  # `look` removes and renames, too
            looking = True
            for kind, contents in disk.worst():
                look(contents, f"a power cut after {what}, {kind}")
            looking = False

    def fsync(descriptor: int) -> None:
        real["fsync"](descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        disk.flush(path)
        after(f"the flush of {path.name}")

    def watched(name: str) -> Callable:
        def call(*arguments, **options):
            result = real[name](*arguments, **options)
            after(f"{name} {', '.join(Path(str(each)).name for each in arguments)}")
            return result

        return call

    try:
        os.fsync = fsync
        for name in real.keys() - {"fsync"}:
            setattr(os, name, watched(name))
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def lay_out(contents: dict[str, bytes], folder: Path) -> None:
    """Make a folder with these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def snapshots_of_a_training() -> int:
    """The last snapshot that was written is on the disk, and what is taken for whole is whole."""
    return _train(Training(iterations=20, every=5), {})


def snapshots_in_place(manifests: bool) -> int:
    """A run overwrites another run's snapshots, perhaps real Caffe's: no mixture of both counts as whole."""
    Training(iterations=10, every=5, seed=5).run_to_the_end()
    if not manifests:
        forget_ours(Path("runs"))
    shutil.rmtree("train_lmdb")
    shutil.rmtree("test_lmdb")
    os.rename("runs", "old")
    training = Training(iterations=10, every=5, seed=6)
    os.rmdir("runs")
    os.rename("old", "runs")
    return _train(training, {iteration: {_pair(iteration)} for iteration in (5, 10)})


def _pair(iteration: int) -> tuple[bytes, bytes]:
    snapshot = Snapshot("runs/run", iteration)
    return snapshot.model.read_bytes(), snapshot.state.read_bytes()


def _train(training: Training, known: dict[int, set[tuple[bytes, bytes]]]) -> int:
    """Train in this process. ``known``: the pairs of each iteration that there may be, besides this run's own."""
    from caffe import _log, get_solver

    _log.init_log(2)
    cuts = whole = 0  # the iteration of the last snapshot that write_snapshot has returned from
    seen: list[tuple[str, int, tuple[bytes, bytes]]] = []

    def look(contents: dict[str, bytes], when: str) -> None:
        nonlocal cuts
        cuts += 1
        lay_out(contents, Path("cut/runs"))
        os.chdir("cut")
        newest, _ = newest_whole("runs/run")
        found = newest.iteration if newest else 0
        expect(found >= whole, f"{when}: the newest whole snapshot is {found}, but {whole} was written")
        if newest:
            seen.append((when, found, _pair(found)))
        os.chdir("..")

    solver = get_solver("solver.prototxt")
    with Disk(Path("runs")) as disk:
        while solver.iter < training.iterations:
            solver.step(training.every - 1)
            with recorded(disk, look):
                solver.step(1)
            whole = solver.iter
            known[whole] = {*known.get(whole, ()), _pair(whole)}
        for kind, contents in disk.worst():
            look(contents, f"a power cut after the last snapshot, {kind}")
    for when, iteration, pair in seen:
        expect(pair in known[iteration], f"{when}: the pair of {iteration} is not one that was written")
    return cuts


def build_of_lmdbs(in_place: bool) -> int:
    """data/lmdb is on the disk whole, or not at all."""
    from data_prep.build_lmdb import build

    os.mkdir("data")
    builds.write_set()
    before = None
    if in_place:
        build(Path("set.zip"), Path("data/lmdb"), seed=1)
        before = builds.digest(Path("data/lmdb"))
    seen: list[tuple[str, str]] = []
    cuts = 0

    def look(contents: dict[str, bytes], when: str) -> None:
        nonlocal cuts
        cuts += 1
        lay_out(contents, Path("cut"))
        if Path("cut/lmdb").exists():
            seen.append((when, builds.digest(Path("cut/lmdb"))))

    with Disk(Path("data")) as disk, recorded(disk, look):
        build(Path("set.zip"), Path("data/lmdb"), seed=2)
    after = builds.digest(Path("data/lmdb"))
    for when, found in seen:
        expect(found in (before, after), f"{when}: lmdb is not whole")
    expect(seen and seen[-1][1] == after, "when the build has ended, it is not on the disk")
    return cuts


FAULTS = [
    Fault(
        "a power cut while a snapshot is written",
        [
            Case("four snapshots", snapshots_of_a_training),
            Case("two in place of others", partial(snapshots_in_place, True)),
            Case("two in place of real Caffe's", partial(snapshots_in_place, False)),
        ],
    ),
    Fault(
        "a power cut while LMDBs are built",
        [
            Case("the first", partial(build_of_lmdbs, False)),
            Case("in another's place", partial(build_of_lmdbs, True)),
        ],
    ),
]
