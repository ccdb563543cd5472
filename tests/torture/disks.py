"""A disk that fills during a training, is full from the start, is read-only, or disappears."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.torture.faults import Case, Fault, expect
from tests.torture.places import read_only_over, small_disk
from tests.torture.training import Training, wait_for

Breaker = Callable[[subprocess.Popen], contextlib.AbstractContextManager]


@contextmanager
def blocks_taken(_process: subprocess.Popen) -> Iterator[None]:
    """No block is free."""
    try:
        with open("filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
    finally:
        os.unlink("filler")


@contextmanager
def files_taken(_process: subprocess.Popen) -> Iterator[None]:
    """There are free blocks, but no file can be created; a check of the free space does not show this."""
    os.mkdir("fillers")
    try:
        with contextlib.suppress(OSError):
            for number in range(100_000):
                Path(f"fillers/{number}").touch()
        yield
    finally:
        shutil.rmtree("fillers")


@contextmanager
def size_limited(process: subprocess.Popen) -> Iterator[None]:
    """A limit on the size of files, which a model passes in the middle of its writing."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (700, hard))
    yield
    if process.poll() is None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))


def for_a_while(broken: Breaker, on_small_disk: bool) -> None:
    """Two snapshots cannot be written: the last pair stays, and training continues to its usual end."""
    with _disk(on_small_disk):
        training = Training(iterations=3000, every=100)
        process = training.start()
        wait_for(process, "Iteration 12")
        with _stopped(process):
            before = _whole(training)
            breaking = broken(process)
            breaking.__enter__()
        for _ in range(2):
            said = wait_for(process, "Training continues")
            expect("No snapshot of iteration" in said, f"not said: {said}")
        with _stopped(process):
            breaking.__exit__(None, None, None)
            expect(_whole(training) >= before, "the last whole snapshot is gone")
        log, _ = process.communicate()
        expect(process.returncode == 0, f"caffe train ended with {process.returncode}: {log[-500:]}")
        training.check_end()


def to_the_end(broken: Breaker, on_small_disk: bool) -> None:
    """No further snapshot can be written: the run ends with an error, and can resume from the last pair."""
    with _disk(on_small_disk):
        training = Training(iterations=1200, every=100)
        process = training.start()
        wait_for(process, "Iteration 12")
        with _stopped(process):
            before = _whole(training)
            breaking = broken(process)
            breaking.__enter__()
        log, _ = process.communicate()
        last = log.splitlines()[-1] if log else ""
        expect(
            process.returncode == 1 and last.startswith("F") and "Traceback" not in log, f"no clear error: {log[-800:]}"
        )
        expect(_whole(training) >= before, "the last whole snapshot is gone")
        breaking.__exit__(None, None, None)
        training.run_to_the_end()
        training.check_end()


def from_the_start() -> None:
    """All snapshots need more space than there is: the error comes before training."""
    with _disk(True):
        training = Training(iterations=100_000, every=100)
        process = training.start()
        log, _ = process.communicate()
        last = log.splitlines()[-1] if log else ""
        expect(process.returncode == 1 and "1000 of" in last and "free. Make room" in last, f"not said: {log[-500:]}")
        expect(not os.listdir("runs"), f"left behind: {os.listdir('runs')}")


def read_only_from_the_start() -> None:
    """A folder that cannot be written: the error comes before training."""
    training = Training(iterations=60, every=3)
    with read_only_over(Path("runs")):
        process = training.start()
        log, _ = process.communicate()
        last = log.splitlines()[-1] if log else ""
        expect(process.returncode == 1 and "Read-only file system" in last, f"no clear error: {log[-500:]}")
    training.run_to_the_end()
    training.check_end()


def removed() -> None:
    """The folder of the snapshots is removed: it is created again."""
    training = Training(iterations=3000, every=100)
    process = training.start()
    wait_for(process, "Iteration 12")
    with _stopped(process):
        shutil.rmtree("runs")
    wait_for(process, "was removed: creating it again")
    log, _ = process.communicate()
    expect(process.returncode == 0, f"caffe train ended with {process.returncode}: {log[-500:]}")
    training.check_end()


def all_removed() -> None:
    """Its working folder is removed: nothing can be saved, and an error reports that."""
    os.mkdir("place")
    training = Training(iterations=1200, every=100, folder="place")
    process = training.start()
    wait_for(process, "Iteration 12")
    with _stopped(process):
        shutil.rmtree("place")
    log, _ = process.communicate()
    last = log.splitlines()[-1] if log else ""
    expect(process.returncode == 1 and last.startswith("F") and "Traceback" not in log, f"no clear error: {log[-800:]}")


@contextmanager
def read_only(_process: subprocess.Popen) -> Iterator[None]:
    """The folder turns read-only."""
    with read_only_over(Path("runs")):
        yield


def _whole(training: Training) -> int:
    newest = training.newest()
    return newest.iteration if newest else 0


@contextmanager
def _disk(small: bool) -> Iterator[None]:
    if not small:
        yield
        return
    with small_disk("disk", megabytes=8, files=400):
        os.chdir("disk")
        try:
            yield
        finally:
            os.chdir("..")


@contextmanager
def _stopped(process: subprocess.Popen) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


def _cases(run: Callable[[Breaker, bool], None]) -> list[Case]:
    small = [("no block free", blocks_taken), ("no file free", files_taken)]
    cases = [Case(name, partial(run, breaker, True), 2) for name, breaker in small]
    return [*cases, Case("file-size limit", partial(run, size_limited, False), 2)]


FAULTS = [
    Fault("the disk fills for two snapshots", _cases(for_a_while)),
    Fault("the disk stays full to the end", _cases(to_the_end)),
    Fault("too small a disk from the start", [Case("small disk", from_the_start)]),
    Fault(
        "a read-only folder",
        [
            Case("from the start", read_only_from_the_start),
            Case("for two snapshots", partial(for_a_while, read_only, False), 2),
        ],
    ),
    Fault("a folder removed while running", [Case("runs", removed), Case("all", all_removed)]),
]
