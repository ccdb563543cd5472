"""HDF5 files as Caffe writes and reads them (Caffe's util/hdf5.cpp)."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from caffe._error import CaffeError


@contextlib.contextmanager
def reading(path: str | Path, error: type[CaffeError]) -> Iterator[h5py.File]:
    """An HDF5 file, open to be read.

    Args:
        error: what to raise where the file, or something read from it, is missing or broken.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise error(f"Could not open file {path}: No such file or directory.") from None
    # What h5py raises: OSError and RuntimeError for broken files, KeyError for names that are not there.
    except (OSError, RuntimeError, KeyError, ValueError) as cause:
        if isinstance(cause, CaffeError):
            raise
        reason = str(cause.args[0] if cause.args else cause).rstrip(".")
        raise error(f"{path} is not an HDF5 file of Caffe's, or it is cut or broken: {reason}.") from None


def read_array(group: h5py.Group, name: str) -> np.ndarray:
    """A dataset of floats, doubles or integers, as float32.

    Raises:
        KeyError, ValueError: for :func:`reading` to turn into its error.
    """
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu":
        raise ValueError(f"dataset {dataset.name} does not hold numbers")
    return np.asarray(dataset[()], np.float32)


def read_int(group: h5py.Group, name: str) -> int:
    """A dataset of one integer."""
    return int(np.asarray(group[name][()]).item())


def read_string(group: h5py.Group, name: str) -> str:
    """A dataset of one string that ends with a zero byte."""
    return bytes(group[name][()]).rstrip(b"\0").decode()


def write_int(group: h5py.Group, name: str, value: int) -> None:
    """A dataset of one integer, with one axis, as Caffe's reader wants it."""
    group[name] = np.array([value], np.int32)


def write_string(group: h5py.Group, name: str, value: str) -> None:
    """A dataset of one string that ends with a zero byte; h5py's own strings do not, and Caffe reads on."""
    content = value.encode() + b"\0"
    type_ = h5py.h5t.C_S1.copy()
    type_.set_size(len(content))
    type_.set_strpad(h5py.h5t.STR_NULLTERM)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(group.id, name.encode(), type_, space)
    dataset.write(space, space, np.array(content, f"S{len(content)}"), type_)


def to_bytes(fill: Callable[[h5py.File], None]) -> bytes:
    """The content of an HDF5 file that ``fill`` writes, in the format that every HDF5 library reads."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=("earliest", "v108")) as file:
        fill(file)
    return memory.getvalue()
