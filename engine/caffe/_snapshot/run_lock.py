"""One process at a time trains with a snapshot_prefix: two would write over each other's snapshots.

The lock is ``.<prefix>.lock`` beside the snapshots, locked with flock. The system frees it when its process
ends, even after a kill. A lock file that was left behind is not locked, so the next process takes it over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from caffe._error import WriteError
from caffe._files.whole_file import remove_unfinished
from caffe._log import logger

_held: dict[Path, int] = {}


@contextlib.contextmanager
def held(prefix: str) -> Iterator[None]:
    """Hold the lock of a snapshot_prefix; a process may hold it several times.

    A process that holds it already checks that it still does. If the folder was removed under the run, it is
    created again, unless another run has taken it.

    Raises:
        WriteError: another process holds it, or its folder does not exist or cannot be written.
    """
    folder, name = os.path.split(prefix)
    try:
        path = Path(os.path.abspath(folder), f".{name}.lock")
    except FileNotFoundError:
        raise WriteError(
            f"Cannot write to snapshot prefix '{prefix}': the folder that this process was started in is gone."
        ) from None
    if path in _held:
        if not _is_there(path, _held[path]):
            _regain(path, prefix)
        yield
        return
    _held[path] = _take(path, prefix)
    try:
        # With the lock held, no other process writes these files.
        remove_unfinished(path.parent, f"{name}_iter_")
        yield
    finally:
        descriptor = _held.pop(path)
        if _is_there(path, descriptor):
            path.unlink()
        os.close(descriptor)


def check_writable(prefix: str) -> None:
    """Create and remove a file with a snapshot_prefix, to see before a training that snapshots can be written.

    Raises:
        WriteError: the file cannot be created.
    """
    probe = Path(f"{prefix}_iter_0.tempfile")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(prefix, error) from None


def _unwritable(prefix: str, error: OSError) -> WriteError:
    return WriteError(
        f"Cannot write to snapshot prefix '{prefix}' ({error.strerror}). "
        "Make sure that the directory exists and is writable."
    )


def _take(path: Path, prefix: str) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise _unwritable(prefix, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            raise WriteError(
                f"Another process ({holder or 'unknown'}) is training with snapshot_prefix '{prefix}': "
                "stop it first, or choose another prefix."
            ) from None
        except OSError as error:
            logger.warning("%s cannot be locked (%s): make sure that no other run writes there.", path, error.strerror)
        if _is_there(path, descriptor):
            break
        os.close(descriptor)  # its holder has just removed it
    with contextlib.suppress(OSError):  # the lock works without its holder's number on a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _regain(path: Path, prefix: str) -> None:
    if not path.parent.is_dir():
        logger.warning("%s was removed: creating it again for the snapshots to come.", path.parent)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _take(path, prefix)
    os.close(_held[path])
    _held[path] = descriptor
