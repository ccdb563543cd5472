"""The windows of Convolution, Deconvolution and Im2col: kernel, stride, pad and dilation of convolution_param.

Caffe's base_conv_layer.cpp and util/im2col.cpp.
"""

import functools
import math
import operator
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe._layers._kernels.fused import convolve_2d
from caffe._layers.base import Layer

INT_MAX = 2**31 - 1
_ONEDNN_BLOCK = 16  # channels of oneDNN's blocks, at most


class Windows:
    """Kernel, stride, pad and dilation of a layer, each a tuple with one number per spatial axis.

    Args:
        layer: a layer with a convolution_param.
        axes: number of spatial axes.

    Raises:
        NetError: a number is missing, given in two ways, or impossible.
    """

    def __init__(self, layer: Layer, axes: int):
        self._layer, self._axes = layer, axes
        self.kernel = self._read("kernel", None)
        self.stride = self._read("stride", 1)
        self.pad = self._read("pad", 0)
        self.dilation = self._read("dilation", 1)
        if min((*self.kernel, *self.stride, *self.dilation), default=1) < 1:
            raise layer.error("kernel, stride and dilation must be 1 or more")
        if max((*self.kernel, *self.stride, *self.pad, *self.dilation), default=1) > INT_MAX:
            raise layer.error(f"kernel, stride, pad and dilation must be {INT_MAX} or less")
        # Dilation has no effect on a size-1 kernel, but oneDNN may then read out of bounds (test_onednn.py).
        self.dilation = tuple(d if k > 1 else 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    def _read(self, name: str, default: int | None) -> tuple[int, ...]:
        """A parameter given once, per axis, or as <name>_h and <name>_w; default None makes it required."""
        layer, axes, param = self._layer, self._axes, self._layer.param.convolution_param
        field = "kernel_size" if name == "kernel" else name
        given = list(getattr(param, field))
        if name != "dilation" and (param.HasField(f"{name}_h") or param.HasField(f"{name}_w")):
            if axes != 2:
                raise layer.error(f"{name}_h and {name}_w are for 2 spatial axes, not {axes}")
            if given:
                raise layer.error(f"give either {field} or {name}_h and {name}_w, not both")
            return getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
        if len(given) not in (1, axes) and not (default is not None and not given):
            raise layer.error(
                f"{field} must be given once or once per spatial axis (given {len(given)} times for {axes} axes)"
            )
        if not given:
            given = [default]
        return tuple(given * axes) if len(given) == 1 else tuple(given)

    @property
    def extent(self) -> tuple[int, ...]:
        """The reach of a dilated kernel along each axis."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    def convolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size of a convolution's output, rounded down, for an input's size."""
        return tuple(
            (n + 2 * p - e) // s + 1 for n, p, e, s in zip(size, self.pad, self.extent, self.stride, strict=True)
        )

    def deconvolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size of a deconvolution's output for an input's size."""
        return tuple(
            s * (n - 1) + e - 2 * p for n, p, e, s in zip(size, self.pad, self.extent, self.stride, strict=True)
        )


def im2col(
    x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> torch.Tensor:
    """A convolution's windows as columns, over any number of spatial axes.

    Args:
        x: (num, channels, spatial...).
        kernel, stride, pad, dilation: one number per spatial axis.

    Returns:
        (num, channels * prod(kernel), output...); rows in the order of a filter's weights.
    """
    num, channels, axes = x.shape[0], x.shape[1], len(kernel)
    x = F.pad(x, [p for each in reversed(pad) for p in (each, each)])
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
        x = x.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
    # The shape is (num, channels, output..., kernel...) here.
    x = x.permute(0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    return x.reshape(num, channels * math.prod(kernel), *x.shape[2 + axes :])


def convolve(
    x, weight, bias, stride, pad, dilation, group: int, relu: bool = False, in_place: bool = False
) -> torch.Tensor:
    """A convolution over any number of spatial axes, including none; the arguments are those of PyTorch's conv2d.

    Args:
        relu: True returns max(0, result).
        in_place: the ReLU's backward may overwrite its incoming gradient.
    """
    axes = x.dim() - 2
    if _steps_overrun(x, weight, stride, pad):
        x, stride = x[(..., *(slice(None, None, s) for s in stride))], [1] * axes
    idle = _idle_taps(x, x.shape[2:], weight, stride, pad, dilation)
    if _fails_in_bfloat16(x, idle) or (
        axes == 2 and _misreads_a_column(x, _columns(x, weight, stride, pad, dilation), stride)
    ):
        own = bias if bias is None else bias.float()
        return convolve(x.float(), weight.float(), own, stride, pad, dilation, group, relu).to(x.dtype)
    if axes > 3 or any(map(operator.eq, idle, weight.shape[2:])):
        y = _convolve_columns(x, weight, bias, stride, pad, dilation, group)
        return torch.relu(y) if relu else y
    if axes == 2:
        # Both oneDNN and cuDNN are fastest with channels innermost, and later layers keep that layout.
        x = x.contiguous(memory_format=torch.channels_last)
        return convolve_2d(x, weight, bias, stride, pad, dilation, group, relu, in_place)
    if axes == 0:
        y = F.conv1d(x[..., None], weight[..., None], bias, groups=group)[..., 0]
    else:
        y = (F.conv1d if axes == 1 else F.conv3d)(x, weight, bias, stride, pad, dilation, group)
    return torch.relu(y) if relu else y


def _convolve_columns(x, weight, bias, stride, pad, dilation, group: int) -> torch.Tensor:
    """A convolution as Caffe does it: a product of filters and columns of windows."""
    columns = im2col(x, weight.shape[2:], stride, pad, dilation)
    size = columns.shape[2:]
    columns = columns.reshape(len(x), group, columns.shape[1] // group, -1)
    filters = weight.reshape(group, len(weight) // group, -1)
    y = (filters @ columns).reshape(len(x), len(weight), *size)
    return y if bias is None else y + bias.reshape(-1, *[1] * len(size))


def _steps_overrun(x: torch.Tensor, weight: torch.Tensor, stride: Sequence[int], pad: Sequence[int]) -> bool:
    """True if oneDNN may mishandle the strides of a size-1 kernel.

    Like convolve, oneDNN gathers the numbers that the strides reach. With fewer channels than one of its
    blocks, it writes beyond that memory in the gradient of the weights. The gradient is then wrong, or the
    process ends (oneDNN issue 6035).
    """
    return (
        x.device.type == "cpu"
        and weight.shape[1] < _ONEDNN_BLOCK
        and max(stride, default=1) > 1
        and not any(pad)
        and set(weight.shape[2:]) == {1}
    )


def _idle_taps(x: torch.Tensor, size: Sequence[int], weight: torch.Tensor, stride, pad, dilation) -> list[int]:
    """Count the kernel's numbers along each axis that meet only padding, in all windows of maps of ``size``.

    If all numbers of an axis do, oneDNN may end the process. Without oneDNN nothing is counted.
    """
    if x.device.type != "cpu" or not any(pad):
        return []
    return list(map(_idle_taps_along, size, weight.shape[2:], stride, pad, dilation))


def _fails_in_bfloat16(x: torch.Tensor, idle: Sequence[int]) -> bool:
    """True if oneDNN's weight gradients may be wrong or stale memory: in bfloat16, with idle taps or three axes."""
    return x.device.type == "cpu" and x.dtype == torch.bfloat16 and (any(idle) or x.dim() == 5)


def _columns(x: torch.Tensor, weight: torch.Tensor, stride, pad, dilation) -> int:
    """The number of columns of a convolution's output over two axes."""
    return (x.shape[3] + 2 * pad[1] - dilation[1] * (weight.shape[3] - 1) - 1) // stride[1] + 1


def _misreads_a_column(x: torch.Tensor, columns: int, stride: Sequence[int]) -> bool:
    """True if oneDNN may return wrong values or stale memory: in bfloat16, for one column of windows with a stride.

    A Xeon with AMX failed for 599 of 2,112 such geometries. It failed for none of 17,760 with more columns
    or without such strides.
    """
    return x.device.type == "cpu" and x.dtype == torch.bfloat16 and columns == 1 and stride[1] > 1


@functools.cache
def _idle_taps_along(size: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    last = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride * stride - pad  # start of the last window
    idle = 0
    for tap in range(0, kernel * dilation, dilation):
        # Find the first window that has this tap on the first number or later.
        begin = max(0, -((tap - pad) // stride)) * stride - pad
        idle += begin > last or begin + tap >= size
    return idle


def deconvolve(x, weight, bias, stride, pad, dilation, group: int) -> torch.Tensor:
    """The transposed convolution over any number of spatial axes; weight is (channels, outputs / group, kernel...)."""
    axes = x.dim() - 2
    kernel = weight.shape[2:]
    size = [s * (n - 1) + d * (k - 1) + 1 - 2 * p
            for n, k, s, p, d in zip(x.shape[2:], kernel, stride, pad, dilation, strict=True)]  # fmt: skip
    idle = _idle_taps(x, size, weight, stride, pad, dilation)
    if _fails_in_bfloat16(x, idle) or (axes == 2 and _misreads_a_column(x, x.shape[3], stride)):
        own = bias if bias is None else bias.float()
        return deconvolve(x.float(), weight.float(), own, stride, pad, dilation, group).to(x.dtype)
    if 1 <= axes <= 3 and not any(map(operator.eq, idle, kernel)):
        deconvolution = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
        return deconvolution(x, weight, bias, stride, pad, 0, group, dilation)
    # Compute it as a convolution: flip the filters, spread the inputs by stride, and add the margins that pad leaves.
    spread = x.new_zeros(*x.shape[:2], *(s * (n - 1) + 1 for s, n in zip(stride, x.shape[2:], strict=True)))
    spread[(..., *(slice(None, None, s) for s in stride))] = x
    margins = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, pad, strict=True)]
    spread = F.pad(spread, [m for each in reversed(margins) for m in (each, each)])
    channels, outputs = weight.shape[:2]
    turned = weight.flip(list(range(2, 2 + axes))).reshape(group, channels // group, outputs, *kernel).transpose(1, 2)
    turned = turned.reshape(group * outputs, channels // group, *kernel)
    ones = [1] * axes
    return convolve(spread, turned, bias, ones, [0] * axes, dilation, group)
