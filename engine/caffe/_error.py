"""The errors raised where real Caffe would abort the process.

All derive from :class:`CaffeError`, itself a ``RuntimeError`` because pycaffe raises that for what it
checks. The ``caffe`` command prints the message as one line and exits with 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CaffeError(RuntimeError):
    """Base class: Caffe's semantics do not allow a model, a file or a request."""


class PrototxtError(CaffeError):
    """A prototxt that does not parse, or a field with a value that Caffe refuses."""


class NetError(CaffeError):
    """Layers that cannot be wired or shaped as the prototxt asks."""


class UnknownLayer(NetError, ValueError):
    """A layer's name that a net does not have (pycaffe raises ValueError)."""


class DataError(CaffeError):
    """An LMDB, a mean file or a record that is missing, broken or of another size."""


class SnapshotError(CaffeError):
    """A .caffemodel or .solverstate that is missing, broken or of another net."""


class WorkerError(CaffeError):
    """Another worker has failed, is missing, or trains something else."""


class WriteError(SnapshotError):
    """A file that cannot be written: the disk is full, the folder gone, read-only or another run's."""

    @classmethod
    def of(cls, path: str | Path, error: OSError) -> WriteError:
        """The error for a path, with the system's reason."""
        return cls(f"Cannot write {path}: {error.strerror}.")


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Prepend the file, if there is one, to the message of a PrototxtError or NetError."""
    try:
        yield
    except (PrototxtError, NetError) as error:
        if where:
            error.args = (f"{where}: {error}",)
        raise
