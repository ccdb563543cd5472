"""Writing a file so that under its name there is always a whole one: the old or the new."""

import os
from pathlib import Path

from caffe._error import SnapshotError


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all: beside, flushed, renamed, and the folder flushed."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SnapshotError(f"Cannot write {path}: {error.strerror}.") from None
