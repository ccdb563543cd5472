"""Makes folders that are either whole under their final name or not there under it.

A folder is made as ``<name>.partial``, written to disk, and renamed. The folder that it replaces is ``<name>.old``
for the moment between two renames. It is put back if a run died exactly there.

``DATA_PREP_KILL_AT_STEP=n`` ends the process with SIGKILL after the n-th step of making one. tests/torture/ uses
it to stop a build everywhere a power cut could.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UserError

_steps_to_live = int(os.environ.get("DATA_PREP_KILL_AT_STEP", 0))


def step() -> None:
    """Count a completed step of making a folder."""
    global _steps_to_live
    if _steps_to_live:
        _steps_to_live -= 1
        if not _steps_to_live:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def staged_folder(final: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``final`` when the block ends without an exception.

    After an exception it is removed and ``final`` is unchanged. A process that is killed leaves
    ``<name>.partial``, which the next run clears. ``durable=False`` saves the fsync of every file, for content
    that is quickly made again. Raises ``UserError`` if another process is making the same folder.
    """
    partial, old = _beside(final, "partial"), _beside(final, "old")
    with _alone(final):
        _put_back(final)
        step()
        _clear(partial)
        try:
            step()
            yield partial
            if durable:
                _sync_tree(partial)
            _replace(final, partial, old)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def put_back(final: Path) -> None:
    """Rename ``final`` back if a process died between the two renames that replace it.

    Raises ``UserError`` if another process is making the same folder.
    """
    if _beside(final, "old").exists() and not final.exists():
        with _alone(final):
            _put_back(final)


def _put_back(final: Path) -> None:
    old = _beside(final, "old")
    if old.exists() and not final.exists():
        old.rename(final)


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    """Keep other processes from making ``final``; ``UserError`` if one does. <name>.partial exists meanwhile."""
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(final, "partial")
    partial.mkdir(exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{final}: another process is making it now; wait for it or stop it") from error
        yield
    finally:
        os.close(lock)


def remove_leftovers(final: Path) -> None:
    """Remove the leftovers of processes that died while making ``final``, which must be there and wanted."""
    partial, old = _beside(final, "partial"), _beside(final, "old")
    if partial.is_dir():
        lock = os.open(partial, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(partial)
        except BlockingIOError:
            return  # another process is making it anew
        finally:
            os.close(lock)
    if old.is_dir():
        shutil.rmtree(old)


class WriteBehind:
    """Has the disk work on files while they are still written, so that the fsync at the end is short.

    Otherwise the kernel keeps a gigabyte in memory and writes none of it.
    """

    def __init__(self, step: int = 256 << 20):
        """``step``: bytes written between two syncs. Each sync has a cost, and many slow the writer down."""
        self._step = step
        self._waiting = 0
        self._files: set[Path] = set()
        self._thread = ThreadPoolExecutor(1)
        self._sync: Future[None] | None = None

    def wrote(self, file: Path, count: int) -> None:
        """Record ``count`` more bytes in ``file``. Raises the ``OSError`` of an earlier failed sync."""
        self._files.add(file)
        self._waiting += count
        if self._waiting >= self._step and (self._sync is None or self._sync.done()):
            self._check()
            self._sync = self._thread.submit(_sync_all, list(self._files))
            self._files.clear()
            self._waiting = 0

    def _check(self) -> None:
        # Linux reports a write error only at the next fsync, so check it there.
        if self._sync is not None:
            self._sync.result()

    def __enter__(self) -> "WriteBehind":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._check()


def _sync_all(files: Iterable[Path]) -> None:
    for file in files:
        _sync(file)


def _beside(final: Path, ending: str) -> Path:
    return final.with_name(f"{final.name}.{ending}")


def _clear(folder: Path) -> None:
    for item in folder.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()


def _replace(final: Path, partial: Path, old: Path) -> None:
    if final.exists():
        if old.exists():
            shutil.rmtree(old)
        final.rename(old)
        step()
    partial.rename(final)
    step()
    _sync(final.parent)
    step()
    shutil.rmtree(old, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for directory, _, names in os.walk(folder):
        for name in names:
            _sync(Path(directory) / name)
            step()
        _sync(Path(directory))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
