"""HDF5 files as Caffe writes and reads them (Caffe's util/hdf5.cpp).

An HDF5 file can point elsewhere: its links and its datasets' values may lie in other files. The user who
opens it may be able to read those, although its author cannot. So only the file itself is read.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

try:
    import h5py
except ImportError:  # Training from LMDBs does not need h5py.
    h5py = None

from caffe._device import memory as _memory
from caffe._error import CaffeError

_LONGEST_STRING = 65536
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: str | Path) -> bool:
    """True if a file exists and begins as an HDF5 file does."""
    if h5py:
        return h5py.is_hdf5(path)
    try:
        with open(path, "rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def need(error: type[CaffeError], what: str) -> None:
    """Raise the error for ``what`` if there is no h5py."""
    if h5py is None:
        raise error(f"{what}: h5py is not installed, HDF5 needs it; pip install h5py.")


@contextlib.contextmanager
def reading(path: str | Path, error: type[CaffeError]) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Args:
        error: the error to raise if the file, or something read from it, is missing or broken.
    """
    need(error, str(path))
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise error(f"Could not open file {path}: No such file or directory.") from None
    # h5py raises OSError and RuntimeError for broken files, and KeyError for missing names. It raises TypeError
    # and SystemError for types that NumPy does not have.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, SystemError) as cause:
        if isinstance(cause, CaffeError):
            raise
        reason = str(cause.args[0] if cause.args else cause).rstrip(".")[:300]
        raise error(f"{path} is not an HDF5 file of Caffe's, or it is cut or broken: {reason}.") from None


# The functions below raise KeyError and ValueError, which :func:`reading` turns into its error.


def read_group(parent: h5py.Group, name: str) -> h5py.Group:
    """A subgroup of a group."""
    found = _member(parent, name)
    if not isinstance(found, h5py.Group):
        raise ValueError(f"{name} is not a group")
    return found


def read_array(group: h5py.Group, name: str) -> np.ndarray:
    """A dataset of floats, doubles or integers, as float32."""
    dataset = _dataset(group, name)
    if dataset.dtype.kind not in "fiu":
        raise ValueError(f"dataset {name} does not hold numbers")
    _memory.need((dataset.dtype.itemsize + 4) * dataset.size, f"dataset {name} of shape {dataset.shape}", ValueError)
    return np.asarray(dataset[()], np.float32)


def read_int(group: h5py.Group, name: str) -> int:
    """A dataset of one integer."""
    dataset = _dataset(group, name)
    if dataset.dtype.kind not in "iu" or dataset.size != 1:
        raise ValueError(f"dataset {name} is not a whole number")
    return int(np.asarray(dataset[()]).item())


def read_string(group: h5py.Group, name: str) -> str:
    """A dataset of one string that ends with a zero byte."""
    dataset = _dataset(group, name)
    if dataset.dtype.kind != "S" or dataset.size != 1 or dataset.dtype.itemsize > _LONGEST_STRING:
        raise ValueError(f"dataset {name} is not a string")
    return np.asarray(dataset[()]).item().rstrip(b"\0").decode()


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    found = _member(group, name)
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise ValueError(f"{name} is not a dataset")
    if found.external or found.is_virtual:
        raise ValueError(f"the values of {name} are in another file, which is not read")
    return found


def _member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to another place, which is not followed")
    return group[name]


def unfit_name(name: str) -> str:
    """The reason why a group or dataset cannot have this name, or "" if it can."""
    if "/" in name:
        return "its name has a slash, which separates groups there"
    if "\0" in name:
        return "its name has a zero byte, at which HDF5 cuts it"
    return "its name means the group itself there" if name == "." else ""


def write_int(group: h5py.Group, name: str, value: int) -> None:
    """Write a dataset of one integer with one axis, as Caffe's reader needs it."""
    group[name] = np.array([value], np.int32)


def write_string(group: h5py.Group, name: str, value: str) -> None:
    """Write a string dataset that ends with a zero byte; h5py's own lack it, so Caffe would read beyond."""
    content = value.encode() + b"\0"
    type_ = h5py.h5t.C_S1.copy()
    type_.set_size(len(content))
    type_.set_strpad(h5py.h5t.STR_NULLTERM)
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    dataset = h5py.h5d.create(group.id, name.encode(), type_, space)
    dataset.write(space, space, np.array(content, f"S{len(content)}"), type_)


def to_bytes(fill: Callable[[h5py.File], None]) -> bytes:
    """Return the content of an HDF5 file that ``fill`` writes, in the format that every HDF5 library reads."""
    need(CaffeError, "HDF5 output")
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=("earliest", "v108")) as file:
        fill(file)
    return memory.getvalue()
