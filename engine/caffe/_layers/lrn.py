"""LRN, local response normalisation (Caffe's lrn_layer.cpp)."""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from caffe._layers._kernels.window import INT_MAX
from caffe._layers.base import Layer, Precision, register
from caffe.proto import caffe_pb2


def _sum_of_neighbours(x: torch.Tensor, size: int) -> torch.Tensor:
    """Sums over ``size`` channels around each one; fast with channels innermost, as convolutions leave them."""
    size = min(size, 2 * x.shape[1] - 1)  # the span of all channels
    padded = F.pad(x.movedim(1, -1), (size // 2, size // 2))
    channels = x.shape[1]
    total = padded[..., :channels] + padded[..., 1 : 1 + channels] if size > 1 else padded
    for shift in range(2, size):
        total += padded[..., shift : shift + channels]
    return total.movedim(-1, 1)


def _power(scale: torch.Tensor, beta: float) -> torch.Tensor:
    """scale^-beta; for the beta of all nets of the time, square roots are three times faster."""
    if beta != 0.75:
        return scale.pow(-beta)
    root = scale.rsqrt()
    return root.sqrt().mul_(root)


class _AcrossChannels(torch.autograd.Function):
    """y = x * scale^-beta with scale = k + alpha * (sum of x^2 over neighbouring channels).

    The closed form of the gradient needs one more sum over neighbours; autograd would keep many arrays.
    """

    @staticmethod
    def forward(ctx, x, size, alpha, beta, k):
        scale = _sum_of_neighbours(x * x, size).mul_(alpha).add_(k)
        power = _power(scale, beta)
        ctx.save_for_backward(x, scale, power)
        ctx.size, ctx.alpha, ctx.beta = size, alpha, beta
        return x * power

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, scale, power = ctx.saved_tensors
        passed = gradient * power
        # A sum over neighbours is symmetric, so it is its own adjoint.
        ratio = _sum_of_neighbours((passed * x).div_(scale), ctx.size).mul_(x)
        return passed.add_(ratio, alpha=-2 * ctx.alpha * ctx.beta), None, None, None, None


@register("LRN")
class LRN(Layer):
    """Divides each value by a power of the energy around it.

    ACROSS_CHANNELS takes the energy of local_size neighbouring channels at the same position. WITHIN_CHANNEL
    takes it from a square of side local_size in the same map. The zeros around the map then count, and k is
    always 1.
    """

    precision = Precision.AS_GIVEN
    gives_own_gradient = True

    @property
    def backward_unasked(self) -> bool:
        return self.param.lrn_param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS

    def setup(self, bottom):
        param = self.param.lrn_param
        if param.local_size % 2 == 0:
            raise self.error(f"LRN only supports odd values for local_size, not {param.local_size}")
        if param.local_size > INT_MAX:
            raise self.error(f"local_size must be {INT_MAX} or less")
        if len(bottom[0]) != 4:
            raise self.error(f"input must have 4 axes (num, channels, height, width), not {len(bottom[0])}")

    def top_shapes(self, bottom):
        return [bottom[0]]

    def forward(self, bottom, weights):
        (x,) = bottom
        param = self.param.lrn_param
        if x.dtype == torch.bfloat16:
            # The divisor differs from k by less than bfloat16's last digit.
            return [self.forward([x.float()], weights)[0].to(x.dtype)]
        if param.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL:
            energy = F.avg_pool2d(x * x, param.local_size, 1, param.local_size // 2)
            return [x * (1 + param.alpha * energy).pow(-param.beta)]
        return [_AcrossChannels.apply(x, param.local_size, param.alpha / param.local_size, param.beta, param.k)]
