"""Folders that are either whole under their final name or not there under it.

A folder is made as ``<name>.partial``, written to disk, and renamed. What it replaces waits as ``<name>.old``
for the moment between two renames, and is put back when a run died exactly there.

``DATA_PREP_KILL_AT_STEP=n`` ends the process with SIGKILL after the n-th step of making one; tests/torture/ uses
it to stop a build everywhere a power cut could.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_prep.errors import DataError

_steps_to_live = int(os.environ.get("DATA_PREP_KILL_AT_STEP", 0))


def step() -> None:
    """A step of making a folder is done."""
    global _steps_to_live
    if _steps_to_live:
        _steps_to_live -= 1
        if not _steps_to_live:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def staged_folder(final: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``final`` when the block ends without an exception.

    After an exception it is removed and ``final`` is as before. A process that is killed leaves
    ``<name>.partial``, which the next run clears. ``durable=False`` spares the fsync of every file, for what
    is quickly made again. Raises ``DataError`` when another process is making the same folder.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    partial, old = _beside(final, "partial"), _beside(final, "old")
    partial.mkdir(exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{final}: another process is making it now; wait for it or stop it") from error
        if old.exists() and not final.exists():
            old.rename(final)
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
    finally:
        os.close(lock)


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
    for place, _, names in os.walk(folder):
        for name in names:
            _sync(Path(place) / name)
            step()
        _sync(Path(place))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
