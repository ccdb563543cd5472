"""A build of the LMDBs, killed at every step and at random moments, and without room: nothing looks finished."""

import functools
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import lmdb

from tests.data_prep.small_tiny_imagenet import files, write_zip
from tests.torture.faults import Case, Fault, Lost, expect
from tests.torture.places import REPOSITORY, small_disk
from tests.torture.training import PATIENCE

# Steps in a build of the small set. It begins (2), writes five batches and reads three LMDBs back (8).
# It writes mean and labels (1), flushes nine files (9) and appears (2). An earlier build is moved away (1).
STEPS = 22
STEPS_IN_PLACE = STEPS + 1


def write_set() -> None:
    """set.zip, small but in the official layout."""
    write_zip(Path("set.zip"), files())


def start(seed: int, *more: str, **variables: str) -> subprocess.Popen:
    """`make lmdb` in the working folder, from set.zip to lmdb/."""
    if not Path("set.zip").exists():
        write_set()
    command = [
        "-m",
        "data_prep.build_lmdb",
        "--data",
        "set.zip",
        "--out",
        "lmdb",
        "--replace",
        "--seed",
        str(seed),
        *more,
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *command], stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment
    )


def build(seed: int, *more: str) -> None:
    """A build that nobody disturbs."""
    process = start(seed, *more)
    log, _ = process.communicate(timeout=PATIENCE)
    expect(process.returncode == 0, f"the build failed: {log}")


def digest(folder: Path = Path("lmdb")) -> str:
    """The SHA-256 of a build's whole content."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        found.update(path.name.encode())
        if not path.is_dir():
            found.update(path.read_bytes())
            continue
        try:
            with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as txn:
                for key, value in txn.cursor():
                    found.update(key + value)
        except lmdb.Error as error:
            raise Lost(f"{path}: {error}") from None
    return found.hexdigest()


@functools.cache
def undisturbed(seed: int) -> str:
    """The digest of an undisturbed build."""
    place = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            build(seed, "--workers", "1")
            return digest()
        finally:
            os.chdir(place)


def check_nothing_looks_finished(before: str | None, after: str, when: str) -> None:
    """lmdb/ is absent or whole, with the old content or the new."""
    if Path("lmdb").exists():
        expect(digest() in (before, after), f"{when}: lmdb/ is not whole")


def at_steps(steps: list[int], in_place: bool) -> None:
    """Kill at a step, look at what is there, and build again with the same command."""
    if in_place:
        build(1, "--workers", "1")
    for step in steps:
        process = start(2, "--workers", "1", DATA_PREP_KILL_AT_STEP=str(step))
        log, _ = process.communicate(timeout=PATIENCE)
        expect(process.returncode == -signal.SIGKILL, f"no kill at step {step}: {log}")
        check_nothing_looks_finished(undisturbed(1), undisturbed(2), f"killed at step {step}")
        build(2, "--workers", "1")
        expect(digest() == undisturbed(2), f"built again after step {step}, it holds something else")
        expect(sorted(os.listdir()) == ["lmdb", "set.zip"], f"left behind: {os.listdir()}")
        shutil.rmtree("lmdb")
        if in_place:
            build(1, "--workers", "1")


def at_random(seed: int, kills: int) -> None:
    """Kill a build with two decoding processes at random moments; then build again, once."""
    moments = random.Random(seed)
    build(1, "--workers", "2")
    for _ in range(kills):
        process = start(2, "--workers", "2")
        time.sleep(moments.uniform(0, 1.5))
        process.kill()
        process.communicate(timeout=PATIENCE)  # until its decoding processes have ended too
        check_nothing_looks_finished(undisturbed(1), undisturbed(2), "killed")
    build(2, "--workers", "2")
    expect(digest() == undisturbed(2), "built again it holds something else")
    expect(sorted(os.listdir()) == ["lmdb", "set.zip"], f"left behind: {os.listdir()}")


def on_a_full_disk() -> None:
    """Too little room is an error before the build. A disk that fills nevertheless ends it with one line."""
    with small_disk("disk", megabytes=8):
        os.chdir("disk")
        try:
            process = start(2, "--workers", "1")
            log, _ = process.communicate(timeout=PATIENCE)
            expect(process.returncode == 1 and "needs" in log and log.count("\n") == 1, f"not said before: {log}")
            expect(sorted(os.listdir()) == ["set.zip"], f"left behind: {os.listdir()}")
        finally:
            os.chdir("..")


def under_a_limit() -> None:
    """A limit on the size of files, which free space does not show."""
    build(1, "--workers", "1")
    process = start(2, "--workers", "1")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    log, _ = process.communicate(timeout=PATIENCE)
    expect(process.returncode == 1 and "error: " in log and "Traceback" not in log, f"no clear error: {log}")
    expect(digest() == undisturbed(1), "the build before is not as it was")
    expect(sorted(os.listdir()) == ["lmdb", "set.zip"], f"left behind: {os.listdir()}")


def two_at_once() -> None:
    """A second build of the same folder is refused; the first ends well."""
    first = _stopped_build()
    second = start(1, "--workers", "1")
    log, _ = second.communicate(timeout=PATIENCE)
    first.send_signal(signal.SIGCONT)
    expect(second.returncode == 1 and "another process is making it" in log, f"the second was not refused: {log}")
    log, _ = first.communicate(timeout=PATIENCE)
    expect(first.returncode == 0, f"the first build failed: {log}")
    expect(digest() == undisturbed(2), "it holds something else")


def _stopped_build() -> subprocess.Popen:
    """A build that stands still in the middle."""
    for _ in range(20):
        process = start(2, "--workers", "1")
        while not Path("lmdb.partial").exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        if Path("lmdb.partial").exists():
            return process
        process.send_signal(signal.SIGCONT)  # it was through before it could be stopped
        process.communicate(timeout=PATIENCE)
        shutil.rmtree("lmdb")
    raise Lost("no build could be stopped in the middle")


def _every(count: int, steps: int, in_place: bool) -> list[Case]:
    chains = [list(range(first, steps + 1, count)) for first in range(1, count + 1)]
    return [
        Case(f"steps {', '.join(map(str, chain))}", partial(at_steps, chain, in_place), len(chain)) for chain in chains
    ]


FAULTS = [
    Fault("SIGKILL at a step of an LMDB build", _every(4, STEPS, in_place=False)),
    Fault("SIGKILL, one build in another's place", _every(4, STEPS_IN_PLACE, in_place=True)),
    Fault("SIGKILL at a random moment of a build", [Case(f"seed {n}", partial(at_random, n, 5), 5) for n in range(2)]),
    Fault(
        "an LMDB build without room",
        [Case("small disk", on_a_full_disk), Case("file-size limit", under_a_limit)],
    ),
    Fault("two LMDB builds at once", [Case("one folder", two_at_once)]),
]
