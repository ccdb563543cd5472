"""Pooling (Caffe's pooling_layer.cpp)."""

from collections.abc import Callable
from functools import partial
from itertools import accumulate

import torch
import torch.nn.functional as F

from caffe._device import random_numbers
from caffe._layers._kernels.window import INT_MAX
from caffe._layers.base import Layer, Precision, register
from caffe.proto import caffe_pb2


def pooled_length(length: int, kernel: int, pad: int, stride: int, any_pad: bool, floor: bool) -> int:
    """The number of windows, rounded up, so the last one may extend beyond the end.

    A last window that would start in the padding is dropped, as in PoolingLayer::Reshape. That happens only
    with padding on either axis (``any_pad``).
    """
    span = length + 2 * pad - kernel
    count = (span // stride if floor else -(-span // stride)) + 1
    if any_pad and (count - 1) * stride >= length + pad:
        count -= 1
    return count


# PyTorch has Caffe's windows and (AVE) areas if _as_pytorch returns True.
_PYTORCH = {
    caffe_pb2.PoolingParameter.MAX: F.max_pool2d,
    caffe_pb2.PoolingParameter.AVE: F.avg_pool2d,
}


@register("Pooling")
class Pooling(Layer):
    """MAX, AVE or STOCHASTIC over windows of each map.

    AVE divides by the window's area, clipped to the map with its padding on both sides. It thus counts
    padding, but not what lies beyond. STOCHASTIC is for values that are not negative. In TRAIN it draws one
    value of the window with a probability proportional to it. In TEST it gives the mean with these weights.
    Real Caffe has STOCHASTIC on the GPU only, without a gradient in TEST; here the gradient is the derivative.

    Tops: the pooled maps, and optionally with MAX the position of each maximum (row * width + column). A
    window that holds nothing has position -1. NaN is no maximum; a window without a number gives the lowest one.
    """

    precision = Precision.AS_GIVEN
    gives_own_gradient = True

    @property
    def tops(self):
        return 1, 2 if self.param.pooling_param.pool == caffe_pb2.PoolingParameter.MAX else 1

    def setup(self, bottom):
        param = self.param.pooling_param
        if len(bottom[0]) != 4:
            raise self.error(f"input must have 4 axes (num, channels, height, width), not {len(bottom[0])}")
        sized = param.HasField("kernel_size") or param.HasField("kernel_h") or param.HasField("kernel_w")
        if param.global_pooling and sized:
            raise self.error("with global_pooling the kernel size cannot be given")
        self.kernel = (0, 0) if param.global_pooling else self._pair("kernel", "kernel_size")
        self.stride = self._pair("stride", "stride")
        self.pad = self._pair("pad", "pad")
        if param.global_pooling and (self.pad != (0, 0) or self.stride != (1, 1)):
            raise self.error("with global_pooling only pad 0 and stride 1 are possible")
        if not param.global_pooling and min(self.kernel) < 1 or min(self.stride) < 1:
            raise self.error("kernel and stride must be 1 or more")
        if max(*self.kernel, *self.stride, *self.pad) > INT_MAX:
            raise self.error(f"kernel, stride and pad must be {INT_MAX} or less")
        if self.pad != (0, 0) and any(p >= k for p, k in zip(self.pad, self.kernel, strict=True)):
            raise self.error(f"pad {self.pad} must be smaller than the kernel {self.kernel}")
        if self.pad != (0, 0) and param.pool == caffe_pb2.PoolingParameter.STOCHASTIC:
            raise self.error("STOCHASTIC pooling takes no pad")

    def _pair(self, name: str, single: str) -> tuple[int, int]:
        param = self.param.pooling_param
        both = param.HasField(f"{name}_h"), param.HasField(f"{name}_w")
        if any(both):
            if param.HasField(single) or not all(both):
                raise self.error(f"give {single}, or both {name}_h and {name}_w")
            return getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
        if name == "kernel" and not param.HasField(single):
            raise self.error("the kernel size must be given")
        return (getattr(param, single),) * 2

    def top_shapes(self, bottom):
        floor = self.param.pooling_param.round_mode == caffe_pb2.PoolingParameter.FLOOR
        size = bottom[0][2:]
        if self.param.pooling_param.global_pooling:
            self.kernel = size
        any_pad = self.pad != (0, 0)
        pooled = tuple(
            pooled_length(n, k, p, s, any_pad, floor)
            for n, k, p, s in zip(size, self.kernel, self.pad, self.stride, strict=True)
        )
        if min(pooled) < 1:
            raise self.error(f"the kernel {self.kernel} does not fit into the input of shape {bottom[0]}")
        return [(*bottom[0][:2], *pooled)] * len(self.param.top)

    def forward(self, bottom, weights):
        (x,) = bottom
        rows, columns = self.top_shapes([tuple(x.shape)])[0][2:]
        method = self.param.pooling_param.pool
        if method in _PYTORCH and len(self.param.top) == 1 and self._as_pytorch(x.shape[2:], (rows, columns)):
            floor = self.param.pooling_param.round_mode == caffe_pb2.PoolingParameter.FLOOR
            pool = partial(_PYTORCH[method], stride=self.stride, padding=self.pad, ceil_mode=not floor)
            return [self._max_of_numbers(pool, x) if pool.func is F.max_pool2d else pool(x, self.kernel)]
        # Pad here, including the overhang on the right and below.
        stride = self._within(x.shape[2:])
        (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w) = self.kernel, stride, self.pad
        below = (rows - 1) * stride_h + kernel_h - x.shape[2] - pad_h
        right = (columns - 1) * stride_w + kernel_w - x.shape[3] - pad_w
        margins = (pad_w, right, pad_h, below)
        if method == caffe_pb2.PoolingParameter.MAX:
            return self._max(x, margins, stride)
        if any(margins):
            x = F.pad(x, margins)
        if method == caffe_pb2.PoolingParameter.STOCHASTIC:
            return [self._stochastic(x, (rows, columns), stride)]
        sums = F.avg_pool2d(x, self.kernel, stride, divisor_override=1)
        heights = self._clipped(rows, kernel_h, stride_h, pad_h, bottom[0].shape[2])
        widths = self._clipped(columns, kernel_w, stride_w, pad_w, bottom[0].shape[3])
        area = torch.outer(heights, widths).to(x.device, x.dtype)
        return [sums / area]

    def _within(self, size: tuple[int, int]) -> tuple[int, int]:
        """The stride, limited to one that just leaves the padded map; more would only need useless padding."""
        geometry = zip(size, self.kernel, self.pad, self.stride, strict=True)
        return tuple(min(s, n + 2 * p + k) for n, k, p, s in geometry)

    def _as_pytorch(self, size: tuple[int, int], pooled: tuple[int, int]) -> bool:
        """True if PyTorch's pooling has the same windows; without padding it drops some that Caffe keeps."""
        floor = self.param.pooling_param.round_mode == caffe_pb2.PoolingParameter.FLOOR
        geometry = zip(size, self.kernel, self.pad, self.stride, strict=True)
        theirs = tuple(pooled_length(n, k, p, s, True, floor) for n, k, p, s in geometry)
        return theirs == pooled and all(2 * p <= k for p, k in zip(self.pad, self.kernel, strict=True))

    @staticmethod
    def _clipped(count: int, kernel: int, stride: int, pad: int, length: int) -> torch.Tensor:
        starts = torch.arange(count) * stride - pad
        return (starts + kernel).clamp(max=length + pad) - starts

    def _max(self, x: torch.Tensor, margins: tuple[int, int, int, int], stride: tuple[int, int]) -> list[torch.Tensor]:
        lowest = -torch.finfo(x.dtype).max
        padded = F.pad(x, margins, value=lowest) if any(margins) else x
        if len(self.param.top) == 1:
            return [self._max_of_numbers(partial(F.max_pool2d, stride=stride), padded)]
        padded = padded.where(padded > lowest, lowest)
        y, index = F.max_pool2d(padded, self.kernel, stride, return_indices=True)
        row, column = index // padded.shape[3] - self.pad[0], index % padded.shape[3] - self.pad[1]
        mask = (row * x.shape[3] + column).to(x.dtype)
        return [y, mask.masked_fill(y.detach() == lowest, -1)]

    def _max_of_numbers(self, pool: Callable[..., torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """MAX pooling like Caffe's, which ignores NaN and starts with the lowest number instead of -inf.

        PyTorch propagates NaN, so the sum of the maxima shows it. The check takes 0.5 to 1.9 % of the pooling's
        time. A GPU would have to wait for it, so NaN stays there.
        """
        y = pool(x, self.kernel)
        if x.device.type != "cpu" or y.detach().sum().isfinite():
            return y
        lowest = -torch.finfo(x.dtype).max
        return pool(x.where(x > lowest, lowest), self.kernel)

    def _stochastic(self, x: torch.Tensor, pooled: tuple[int, int], stride: tuple[int, int]) -> torch.Tensor:
        num, channels = x.shape[:2]
        area = self.kernel[0] * self.kernel[1]
        windows = F.unfold(x, self.kernel, stride=stride).reshape(num, channels, area, *pooled)
        if not self.training:
            total = windows.sum(2)
            mean = windows.square().sum(2) / total.where(total > 0, 1)
            return mean.where(total > 0, 0)
        # Sums of the first value, the first two and so on. cumsum has no deterministic way on a GPU.
        reached = torch.stack(list(accumulate(windows.detach().unbind(2))), 2)
        threshold = random_numbers.uniform(reached[:, :, :1]) * reached[:, :, -1:]
        # argmax finds the first of equal values.
        drawn = (reached >= threshold).to(torch.uint8).argmax(2, keepdim=True)
        return windows.gather(2, drawn).squeeze(2)
