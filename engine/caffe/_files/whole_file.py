"""Writing files so that under a name there is always a whole one: the old or the new.

Every file of the engine is written here: beside its name, flushed to disk, renamed, the folder flushed.
``CAFFE_KILL_AT_STEP=n`` ends the process with SIGKILL after the n-th of these steps; tests/torture/ uses it
to stop a run everywhere a power cut could.
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
    """What was written of a file."""

    bytes: int
    sha256: str


class WholeFiles:
    """Files that appear in the order in which they were written, once all of them are on the disk.

    with WholeFiles() as files:
        files.write("a.caffemodel", content)
        files.write("a.solverstate", content)
        files.publish()

    Where one cannot be written, because the disk is full, none appears. A process that dies leaves files
    that :func:`remove_unfinished` finds.

    Raises:
        WriteError: what cannot be written, and why.
    """

    def __init__(self):
        self._beside: dict[Path, Path] = {}

    def __enter__(self) -> WholeFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for beside in self._beside.values():
            _remove(beside)

    def write(self, path: str | Path, content: bytes) -> Written:
        """Write a file beside its name, and wait until it is on the disk."""
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
        """Let the files appear, one after the other.

        Args:
            instead_of: files to remove before: each would pass for belonging to the new ones.
        """
        path = None
        try:
            for path in instead_of:
                if path.exists():
                    path.unlink()
                    flush_folder(path.parent)
                    _step()
            # The folder after each: a power cut must not keep a later file and lose an earlier one.
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
        WriteError: it cannot be written; one that stood there before is whole.
    """
    with WholeFiles() as files:
        files.write(path, content)
        files.publish()


def remove_unfinished(folder: Path, start: str) -> None:
    """Remove what writers that died have left of files whose names begin with ``start``.

    Whoever calls it knows that nobody is writing such files now (see _snapshot/run_lock.py).
    """
    for path in folder.iterdir():
        if path.name.startswith(f".{start}") and path.name.endswith(".part"):
            _remove(path)


def check_space(folder: Path, needed: int, what: str, advice: str = "") -> None:
    """Raise WriteError where the folder's disk has less than ``needed`` bytes free for ``what``."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError as error:
        raise WriteError.of(folder, error) from None
    # Some file systems do not know: they say 0 of 0.
    if disk.total and disk.free < needed:
        raise WriteError(f"{folder}: {what} {megabytes(needed)}, and {megabytes(disk.free)} are free.{advice}")


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def megabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # its folder is gone or read-only; what matters has been said
