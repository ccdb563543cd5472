"""Blob: Caffe's array with values (data) and gradients (diff)."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from caffe._device import device as _device
from caffe._error import NetError

_MOST_AXES, _MOST_VALUES = 32, 2**31 - 1


def own_memory(tensor: torch.Tensor, taken: set[int]) -> torch.Tensor:
    """Return the tensor, or a copy of it if its memory is taken or shared with other tensors.

    Args:
        taken: addresses of memory in use; the result's address is added.
    """
    storage = tensor.untyped_storage()
    if storage.data_ptr() in taken or storage.nbytes() != tensor.nbytes:
        tensor = tensor.clone()
    taken.add(address(tensor))
    return tensor


def address(tensor: torch.Tensor) -> int:
    """The address of the memory that the tensor shares with its views."""
    return tensor.untyped_storage().data_ptr()


class SyncedArray:
    """One array that the engine sees as a tensor and the user as a NumPy view.

    The engine replaces the tensor freely until somebody asks for the view. Then the view's memory
    stays the array's own. A view taken once therefore shows every later forward pass, and values
    written into it are used, as with pycaffe.

    On a GPU the view is a host copy (Caffe's SyncedMemory). Reading the view brings it up to date.
    The next use on the device takes what was written there. An array never written to is zeros and
    takes no memory.
    """

    __slots__ = ("_memory", "_tensor", "_view", "_view_is_newer", "shape")

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        self._forget()

    def _forget(self) -> None:
        self._tensor: torch.Tensor | None = None
        self._memory: np.ndarray | None = None  # a flat array; the view shows its beginning
        self._view: np.ndarray | None = None
        self._view_is_newer = False

    def reshape(self, shape: tuple[int, ...]) -> None:
        """Take another shape (Blob::Reshape).

        Values stay as far as the new shape goes. A view keeps its memory while that suffices.
        Otherwise the array starts again with zeros.
        """
        count = math.prod(shape)
        if self._view is not None:
            self.view()
            self.shape = shape
            if count <= self._memory.size:
                self._view = self._memory[:count].reshape(shape)
                self._tensor = self._host()
                self._view_is_newer = _device.current().type != "cpu"
                return
        elif self._tensor is not None:
            flat = self._tensor.reshape(-1)
            begin = flat.storage_offset()
            if count <= flat.untyped_storage().nbytes() // flat.element_size() - begin:
                self._tensor = flat.as_strided((count,), (1,), begin).view(shape)
                self.shape = shape
                return
        self.shape = shape
        self._forget()

    def _host(self) -> torch.Tensor:
        """The view's values as a tensor."""
        return torch.from_numpy(self._view)

    @property
    def is_zero(self) -> bool:
        """True until the first write: the values are all zero."""
        return self._tensor is None

    @property
    def has_view(self) -> bool:
        """True once somebody asked for the view: new values then overwrite the old."""
        return self._view is not None

    def zero(self) -> None:
        """Set to zeros; this costs nothing unless there is a view to update."""
        if self._view is not None:
            self.set(torch.zeros(self.shape, device=self._tensor.device))
        else:
            self._tensor = None

    def release(self) -> None:
        """Free values that new ones are about to replace; a view keeps its own."""
        if self._view is None:
            self._tensor = None

    def tensor(self, device: torch.device | None = None) -> torch.Tensor:
        """The values on a device (by default the current one), without a gradient history."""
        device = device or _device.current()
        if self._view_is_newer:
            self._tensor = self._host().to(device)
            self._view_is_newer = False
        elif self._tensor is None:
            self._tensor = torch.zeros(self.shape, device=device)
        elif self._tensor.device != device:
            self._tensor = self._tensor.to(device)
            if device.type == "cpu" and self._view is not None:
                # The mode is the CPU's again, so the view is the array's memory now.
                self._tensor = self._host().copy_(self._tensor)
        return self._tensor

    def set(self, tensor: torch.Tensor) -> None:
        """Take new values; the tensor itself becomes the storage unless there is a view."""
        tensor = tensor.detach()
        if tuple(tensor.shape) != self.shape:
            self.reshape(tuple(tensor.shape))
        if self._view is not None and tensor.device.type == "cpu":
            storage = self._host()
            if storage.data_ptr() != tensor.data_ptr():
                storage.copy_(tensor)
            tensor = storage
        self._tensor = tensor
        self._view_is_newer = False

    def view(self) -> np.ndarray:
        """The values as a writable, C-contiguous float32 array that stays the same memory."""
        if self._view_is_newer:
            return self._view
        tensor = self.tensor()
        on_cpu = tensor.device.type == "cpu"
        if self._view is None:
            host = tensor.float().cpu().contiguous()
            # A part of other memory, or an expanded constant, must not be written through.
            if on_cpu and (host.untyped_storage().nbytes() != host.nbytes):
                host = host.clone()
            self._view = host.numpy()
            self._memory = self._view.reshape(-1)
            if on_cpu:
                self._tensor = host
        elif not on_cpu:
            np.copyto(self._view, tensor.float().cpu().numpy())
        self._view_is_newer = not on_cpu
        return self._view


class ReshapedArray:
    """Another array's values in a different shape.

    Parameters shared by name use it, and layers that return their input unchanged. A shape with fewer
    values than the source shows the first of them. A shape with more values is filled up with zeros,
    and writes to these are ignored.

    Args:
        fixed: True forbids a change of the number of values (PERMISSIVE weight sharing).
    """

    def __init__(self, source: "SyncedArray | ReshapedArray", shape: tuple[int, ...], fixed: bool = False):
        self._source = source
        self.shape = shape
        self._fixed = fixed

    def reshape(self, shape: tuple[int, ...]) -> None:
        if self._fixed and math.prod(shape) != math.prod(self.shape):
            raise NetError(f"A shared array of shape {self.shape} cannot take shape {shape}: it has another count.")
        self.shape = shape

    @property
    def is_zero(self) -> bool:
        return self._source.is_zero

    @property
    def has_view(self) -> bool:
        return self._source.has_view

    def zero(self) -> None:
        self._source.zero()

    def release(self) -> None:
        """Do nothing: the values are another array's."""

    def tensor(self, device: torch.device | None = None) -> torch.Tensor:
        values, count = self._source.tensor(device), math.prod(self.shape)
        if values.numel() != count:
            values = torch.nn.functional.pad(values.reshape(-1)[:count], (0, max(0, count - values.numel())))
        return values.reshape(self.shape)

    def set(self, tensor: torch.Tensor) -> None:
        self.reshape(tuple(tensor.shape))
        shape = self._source.shape
        if tensor.numel() != math.prod(shape):
            values = self._source.tensor(tensor.device).reshape(-1).clone()
            count = min(values.numel(), tensor.numel())
            values[:count] = tensor.detach().reshape(-1)[:count]
            tensor = values
        self._source.set(tensor.reshape(shape))

    def view(self) -> np.ndarray:
        values, count = self._source.view().reshape(-1), math.prod(self.shape)
        return (values[:count] if values.size >= count else self.tensor().cpu().numpy()).reshape(self.shape)


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a blob's dimensions as Python's integers, which do not overflow (Blob::Reshape)."""
    shape = tuple(int(d) for d in shape)
    if any(d < 0 for d in shape):
        raise NetError(f"A blob's dimensions cannot be negative: {shape}")
    if len(shape) > _MOST_AXES:
        raise NetError(f"A blob has {_MOST_AXES} axes or fewer, not {len(shape)}.")
    if math.prod(shape) > _MOST_VALUES:
        raise NetError(f"blob size exceeds INT_MAX: a blob has {_MOST_VALUES} values or fewer, not those of {shape}.")
    return shape


class Blob:
    """An n-dimensional float32 array with its gradient.

    Attributes:
        data: values as a writable NumPy view.
        diff: gradients as a writable NumPy view.
    """

    def __init__(self, shape: tuple[int, ...] | list[int] = ()):
        shape = _checked(shape)
        self._data = SyncedArray(shape)
        self._diff = SyncedArray(shape)

    @property
    def shape(self) -> list[int]:
        """Dimensions, outermost first."""
        return list(self._data.shape)

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self._data.shape)

    @property
    def data(self) -> np.ndarray:
        return self._data.view()

    @property
    def diff(self) -> np.ndarray:
        return self._diff.view()

    def reshape(self, *shape: int) -> None:
        """Take another shape (``blob.reshape(10, 3, 64, 64)``); net.reshape() passes it on to the layers."""
        shape = _checked(shape)
        if shape != self._data.shape:
            self._data.reshape(shape)
            self._diff.reshape(shape)

    def share_data(self, other: "Blob") -> None:
        """Share the other blob's values, as weight sharing does; the counts must be equal."""
        self._data = self._shared(other._data)

    def share_diff(self, other: "Blob") -> None:
        """Share the other blob's gradients; the counts must be equal."""
        self._diff = self._shared(other._diff)

    def share(self, other: "Blob", shape: Sequence[int], gradients: bool) -> None:
        """Use the other blob's memory in another shape, with its gradients or with separate ones."""
        self._data = ReshapedArray(other._data, tuple(shape))
        if gradients:
            self._diff = ReshapedArray(other._diff, tuple(shape))
        elif self._diff.shape != tuple(shape):
            self._diff.reshape(tuple(shape))

    def _shared(self, array: SyncedArray | ReshapedArray) -> SyncedArray | ReshapedArray:
        if array.shape == tuple(self.shape):
            return array
        if math.prod(array.shape) != self.count:
            raise NetError(f"A blob of shape {self.shape} cannot share an array of shape {list(array.shape)}.")
        return ReshapedArray(array, tuple(self.shape), fixed=True)

    def accumulate_diff(self, gradient: torch.Tensor) -> None:
        """Add to the gradient, which sums over iter_size passes and shared uses."""
        if self._diff.is_zero:
            self._diff.set(gradient)
        else:
            self._diff.set(self._diff.tensor() + gradient)

    def _legacy(self, axis: int) -> int:
        if len(self._data.shape) > 4:
            raise NetError(f"num, channels, height, width are for up to 4 axes, not {self.shape}")
        return self._data.shape[axis] if axis < len(self._data.shape) else 1

    num = property(lambda self: self._legacy(0), doc="First dimension, by its name in 4-d blobs.")
    channels = property(lambda self: self._legacy(1), doc="Second dimension, or 1 if there is none.")
    height = property(lambda self: self._legacy(2), doc="Third dimension, or 1 if there is none.")
    width = property(lambda self: self._legacy(3), doc="Fourth dimension, or 1 if there is none.")

    def shape_string(self) -> str:
        """Shape and count as Caffe logs them: ``100 3 48 48 (691200)``."""
        return "".join(f"{d} " for d in self._data.shape) + f"({self.count})"
