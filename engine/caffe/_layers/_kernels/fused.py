"""Convolution and inner product, fused with the ReLU after them, and faster ways to compute both on a CPU.

A ReLU's gradient needs only its top, so the values before it are never written to memory. oneDNN also
computes float32 inner products. PyTorch would use MKL, which is half as fast on AMD's processors
(bench/README.md).
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_BLOCK = 1 << 21  # numbers of a block: 4 MB of bfloat16
_POINTS = 204  # map size for which oneDNN's gradient of 1 x 1 weights is fastest, or within a tenth of it
_FAST_TYPES = (torch.float32, torch.bfloat16)


def _onednn(op: str, x: torch.Tensor) -> bool:
    """True if oneDNN can do ``op`` for x: on the CPU, in the types and the build that have it."""
    return (
        x.device.type == "cpu"
        and x.dtype in _FAST_TYPES
        and x.numel() > 0
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, op)
    )


def _after_relu(gradient: torch.Tensor, y: torch.Tensor, in_place: bool) -> torch.Tensor:
    """The gradient before a ReLU with top y; ``in_place`` overwrites the gradient after it.

    PyTorch converts each bfloat16 number to float32 and back. A ReLU's top is never negative. Such a number
    is positive exactly if its 16 bits are positive as an integer, and integers need no conversion.
    """
    before = gradient
    if gradient.device.type == "cpu" and gradient.dtype == y.dtype == torch.bfloat16:
        before, y = gradient.view(torch.int16), y.view(torch.int16)
    if in_place:
        torch.ops.aten.threshold_backward.grad_input(before, y, 0, grad_input=before)
        return gradient
    return torch.ops.aten.threshold_backward(before, y, 0).view(gradient.dtype)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, stride, pad, dilation, group, relu, in_place):
        if not relu:
            y = F.conv2d(x, weight, bias, stride, pad, dilation, group)
        elif _onednn("_convolution_pointwise", x):
            pointwise = torch.ops.mkldnn._convolution_pointwise
            y = pointwise(x, weight, bias, pad, stride, dilation, group, "relu", [], "")
        else:
            y = F.conv2d(x, weight, bias, stride, pad, dilation, group).relu_()
        ctx.save_for_backward(x, weight, *([y] if relu else []))
        ctx.geometry = stride, pad, dilation, group
        ctx.has_bias = bias is not None
        ctx.in_place = in_place
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight, *y = ctx.saved_tensors
        stride, pad, dilation, group = ctx.geometry
        need_x, need_weight = ctx.needs_input_grad[:2]
        need_bias = ctx.has_bias and ctx.needs_input_grad[2]
        if y:
            gradient = _after_relu(gradient, *y, ctx.in_place)
        of_weight = of_bias = None
        if need_weight and _has_small_maps(x, weight, gradient):
            of_weight = _weight_gradient(x, gradient, weight.shape, stride, pad, dilation, group)
        elif need_weight and _has_many_points(x, weight, stride, pad, group):
            of_weight = _weight_gradient_of_points(x, gradient, weight)
        # In float32 oneDNN's bias gradient takes up to five times as long as PyTorch's sum, and loses two digits.
        if need_bias and (of_weight is not None or (x.device.type == "cpu" and x.dtype == torch.float32)):
            of_bias = gradient.sum((0, 2, 3))
        asked = [need_x, need_weight and of_weight is None, need_bias and of_bias is None]
        of_x = None
        if any(asked):
            of_x, *others = torch.ops.aten.convolution_backward(
                gradient, x, weight, [len(weight)] if ctx.has_bias else None,
                stride, pad, dilation, False, [0, 0], group, asked,
            )  # fmt: skip
            of_weight, of_bias = (
                other if own is None else own for own, other in zip((of_weight, of_bias), others, strict=True)
            )
        return of_x, of_weight, of_bias, None, None, None, None, None, None


def _has_small_maps(x: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor) -> bool:
    """True if oneDNN's gradient of the weights is the slower one: in bfloat16, with maps as small as kernels."""
    kernel = weight.shape[2] * weight.shape[3]
    maps = gradient.shape[2] * gradient.shape[3]
    return x.device.type == "cpu" and x.dtype == torch.bfloat16 and 1 < kernel and maps <= 16


def _weight_gradient(x, gradient, shape, stride, pad, dilation, group: int) -> torch.Tensor:
    """The gradient of a convolution's weights as one product a group: gradients times the inputs under each tap."""
    outputs, channels, kernel_h, kernel_w = shape
    rows, columns = gradient.shape[2:]
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, pad[1], pad[1], pad[0], pad[0]))
    taps = [
        padded[:, top : top + (rows - 1) * stride[0] + 1 : stride[0], left : left + (columns - 1) * stride[1] + 1 : stride[1]]
        for top in range(0, kernel_h * dilation[0], dilation[0])
        for left in range(0, kernel_w * dilation[1], dilation[1])
    ]  # fmt: skip
    gradient = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)
    parts = []
    for part in range(group):
        own = slice(part * channels, (part + 1) * channels)
        under = torch.cat([tap[..., own] for tap in taps], -1).reshape(len(gradient), -1)
        product = gradient[:, part * (outputs // group) : (part + 1) * (outputs // group)].t() @ under
        parts.append(product.view(-1, kernel_h, kernel_w, channels).permute(0, 3, 1, 2))
    return torch.cat(parts)


def _has_many_points(x: torch.Tensor, weight: torch.Tensor, stride, pad, group: int) -> bool:
    """True if the map size decides the speed of oneDNN's gradient of the weights: 1 x 1, float32, AVX-512.

    With few points, the maps' own size is as fast, because other sizes need a second call for the rest.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and weight.shape[2:] == (1, 1)
        and set(stride) == {1}
        and set(pad) == {0}
        and group == 1
        and len(x) * x.shape[2] * x.shape[3] >= 16 * _POINTS
    )


def _weight_gradient_of_points(x: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The gradient of a 1 x 1 convolution's weights, for which it does not matter which points share a map."""
    inputs, gradients = (maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]) for maps in (x, gradient))

    def of(points: slice, size: int) -> torch.Tensor:
        maps = (some[points].view(-1, 1, size, some.shape[1]).permute(0, 3, 1, 2) for some in (gradients, inputs))
        return torch.ops.aten.convolution_backward(
            *maps, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False]
        )[1]

    whole = len(inputs) // _POINTS * _POINTS
    result = of(slice(whole), _POINTS)
    return result if whole == len(inputs) else result.add_(of(slice(whole, None), len(inputs) - whole))


def convolve_2d(
    x, weight, bias, stride, pad, dilation, group: int, relu: bool = False, in_place: bool = False
) -> torch.Tensor:
    """A convolution over two spatial axes; the arguments are those of PyTorch's conv2d.

    Args:
        relu: True returns max(0, result).
        in_place: the ReLU's backward may overwrite its incoming gradient, which nothing else uses.
    """
    return _Convolution.apply(x, weight, bias, stride, pad, dilation, group, relu, in_place)


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, relu: bool = False):
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")


class _Linear(torch.autograd.Function):
    """A product. Weights may be float32 if x is bfloat16; then their gradient is float32 too."""

    @staticmethod
    def forward(ctx, x, weight, bias, relu):
        ctx.weight_type = weight.dtype
        weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        y = _product(x, weight, bias, relu)
        ctx.save_for_backward(x, weight, *([y] if relu else []))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight, *y = ctx.saved_tensors
        if y:
            gradient = _after_relu(gradient, *y, in_place=False)
        need_x, need_weight, need_bias, _ = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if need_x else None,
            _outer_product(gradient, x, ctx.weight_type) if need_weight else None,
            gradient.sum(0, dtype=ctx.weight_type) if need_bias else None,
            None,
        )


def _outer_product(gradient: torch.Tensor, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """gradient.t() @ x as ``dtype``; blocks of another type are cast while they are in the cache."""
    if x.dtype == dtype:
        return _product(gradient.t(), x.t())
    result = gradient.new_empty((gradient.shape[1], x.shape[1]), dtype=dtype)
    rows = max(1, _BLOCK // x.shape[1])
    for start in range(0, len(result), rows):
        block = slice(start, start + rows)
        result[block] = _product(gradient[:, block].t(), x.t())
    return result


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, relu: bool = False) -> torch.Tensor:
    """x @ weight.t() + bias, with its ReLU if ``relu``; x is (..., inputs), weight (outputs, inputs)."""
    if _onednn("_linear_pointwise", x):
        y = _Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias, relu)
        return y.reshape(*x.shape[:-1], len(weight))
    y = F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
    return torch.relu(y) if relu else y
