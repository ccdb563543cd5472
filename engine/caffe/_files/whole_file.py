"""Writes files so that a name always has a whole one, the old or the new.

Every file of the engine is written here: beside its name, flushed to disk, renamed, the folder flushed.
``CAFFE_KILL_AT_STEP=n`` ends the process with SIGKILL after the n-th of these steps. tests/torture/ uses
it to stop a run wherever a power cut could.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from caffe._error import WriteError

_steps_to_live = int(os.environ.get("CAFFE_KILL_AT_STEP", 0))


def _step() -> None:
    global _steps_to_live
    if _steps_to_live:
        _steps_to_live -= 1
        if not _steps_to_live:
            os.kill(os.getpid(), signal.SIGKILL)


class Written(NamedTuple):
    """The size and hash of a written file."""

    bytes: int
    sha256: str


class WholeFiles:
    """Files that appear in the order of writing, once all of them are on disk.

    with WholeFiles() as files:
        files.write("a.caffemodel", content)
        files.write("a.solverstate", content)
        files.publish()

    If one cannot be written, for example on a full disk, none appears. A process that dies leaves files
    that :func:`remove_unfinished` finds.

    Raises:
        WriteError: a file cannot be written; the message gives the reason.
    """

    def __init__(self):
        self._beside: dict[Path, Path] = {}

    def __enter__(self) -> WholeFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for beside in self._beside.values():
            _remove(beside)

    def write(self, path: str | Path, content: bytes) -> Written:
        """Write a file beside its name, and wait until it is on disk."""
        path = Path(path)
        beside = self._beside[path] = path.with_name(f".{path.name}.{os.getpid()}.part")
        halves = memoryview(content)[: len(content) // 2], memoryview(content)[len(content) // 2 :]
        try:
            with open(beside, "wb") as file:
                _step()
                for half in halves:
                    file.write(half)
                    file.flush()
                    _step()
                os.fsync(file.fileno())
                _step()
        except OSError as error:
            raise WriteError.of(path, error) from None
        return Written(len(content), hashlib.sha256(content).hexdigest())

    def publish(self, instead_of: Iterable[Path] = ()) -> None:
        """Make the files appear, one after the other.

        Args:
            instead_of: files to remove first, because they would seem to belong to the new ones.
        """
        path = None
        try:
            for path in instead_of:
                if path.exists():
                    path.unlink()
                    flush_folder(path.parent)
                    _step()
            # Flush the folder after each file: a power cut must not keep a later one and lose an earlier one.
            for path, beside in self._beside.items():
                os.replace(beside, path)
                _step()
                flush_folder(path.parent)
                _step()
        except OSError as error:
            raise WriteError.of(path, error) from None
        self._beside.clear()


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        WriteError: the file cannot be written; an older one of that name is still whole.
    """
    with WholeFiles() as files:
        files.write(path, content)
        files.publish()


def remove_unfinished(folder: Path, start: str) -> None:
    """Remove dead writers' unfinished files whose names begin with ``start``.

    The caller must know that no process writes such files now (see _snapshot/run_lock.py).
    """
    for path in folder.iterdir():
        if path.name.startswith(f".{start}") and path.name.endswith(".part"):
            _remove(path)


def check_space(folder: Path, needed: int, what: str, advice: str = "") -> None:
    """Raise WriteError if the folder's disk has less than ``needed`` bytes free for ``what``."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError as error:
        raise WriteError.of(folder, error) from None
    # Some file systems do not know their size and report 0 of 0.
    if disk.total and disk.free < needed:
        raise WriteError(f"{folder}: {what} {megabytes(needed)}, and {megabytes(disk.free)} are free.{advice}")


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def megabytes(count: int) -> str:
    """A number of bytes as text for users."""
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # Its folder is gone or read-only, and the main error is reported already.
