"""Finds the process that trains in a run folder, through the lock that training.run holds there."""

import fcntl
import os
from pathlib import Path

LOCK = ".lock"


def process(folder: Path) -> int | None:
    """The process that trains in a folder, or None.

    It is the runner, which passes a signal on to its Caffe, or a Caffe whose runner was killed.
    """
    lock = folder / LOCK
    if not lock.is_file() or _is_free(lock):
        return None
    holders = _with_open(lock)
    runner = lock.read_text().strip()
    if not holders and runner.isdecimal():  # no /proc on this system, or another user's processes
        return int(runner)
    return next((holder for holder in holders if str(holder) == runner), max(holders, default=None))


def _is_free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _with_open(lock: Path) -> list[int]:
    """The processes that have a file open (Linux: /proc)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            descriptors = list(folder.iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                if os.path.samestat(descriptor.stat(), lock.stat()):
                    found.append(int(folder.parent.name))
                    break
            except OSError:
                continue
    return found
