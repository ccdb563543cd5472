"""PReLU with a backward pass that is fast on a CPU.

PyTorch's own backward takes one number at a time on a CPU. That takes five times as long as its other
passes over the same numbers (bench/README.md). Here such passes compute the gradient, in blocks that stay
in the cache between them.
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_BLOCK = 1 << 19  # numbers of a block: 1 MB of bfloat16


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slopes):
        ctx.save_for_backward(x, slopes)
        return F.prelu(x, slopes.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, slopes = ctx.saved_tensors
        need_x, need_slopes = ctx.needs_input_grad
        spread = slopes.to(x.dtype).reshape(1, -1, *[1] * (x.dim() - 2))
        # With one slope for all channels, the sum also covers the channels.
        summed = [axis for axis in range(x.dim()) if axis != 1 or len(slopes) == 1]
        to_x, to_slopes = torch.empty_like(x), torch.zeros_like(slopes)
        rows = max(1, _BLOCK // max(1, x[:1].numel()))
        for start in range(0, len(x), rows):
            part, g, g_x = (each[start : start + rows] for each in (x, gradient, to_x))
            torch.ops.aten.threshold_backward.grad_input(g, part, 0, grad_input=g_x)
            negative = g - g_x  # the gradient where x is not above 0
            if need_x:
                g_x.addcmul_(negative, spread)
            if need_slopes:
                to_slopes += negative.mul_(part).sum(summed, dtype=slopes.dtype)
        return to_x if need_x else None, to_slopes if need_slopes else None


def prelu(x: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Return x if it is above 0, otherwise x times its channel's slope.

    Args:
        x: (num, channels, ...).
        slopes: (channels), or (1) for all. On a CPU their gradient is summed in their own type, which is
            float32 if x is bfloat16.
    """
    if x.device.type == "cpu" and x.numel() > 0:
        return _PReLU.apply(x, slopes)
    return F.prelu(x, slopes.to(x.dtype))
