"""What is raised where real Caffe would abort the process.

Everything derives from :class:`CaffeError`, itself a ``RuntimeError`` because that is what pycaffe
raises for what it checks. The ``caffe`` command prints the message as one line and exits with 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CaffeError(RuntimeError):
    """Base class: a model, a file or a request that Caffe's semantics do not allow."""


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
    """Of several workers another one has failed, is missing, or trains something else."""


class WriteError(SnapshotError):
    """A file that cannot be written: the disk is full, the folder gone, read-only or another run's."""

    @classmethod
    def of(cls, path: str | Path, error: OSError) -> WriteError:
        """What the system says of a path."""
        return cls(f"Cannot write {path}: {error.strerror}.")


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Begin the message of a PrototxtError or NetError with the file that it is about, if there is one."""
    try:
        yield
    except (PrototxtError, NetError) as error:
        if where:
            error.args = (f"{where}: {error}",)
        raise
