"""LRN, local response normalisation (Caffe's lrn_layer.cpp)."""

import torch
import torch.nn.functional as F

from caffe._layers.base import Layer, register
from caffe.proto import caffe_pb2


class _AcrossChannels(torch.autograd.Function):
    """y = x * scale^-beta with scale = k + alpha / n * (sum of x^2 over n neighbouring channels).

    The sum over neighbours is a product with a band of ones: a 1x1 convolution, which is fast on
    every device and in every layout. The gradient in closed form needs one more of them, where
    autograd would keep five arrays.
    """

    @staticmethod
    def forward(ctx, x, band, alpha, beta, k):
        scale = F.conv2d(x * x, band).mul_(alpha).add_(k)
        power = scale.pow(-beta)
        y = x * power
        ctx.save_for_backward(x, y, scale, power, band)
        ctx.alpha, ctx.beta = alpha, beta
        return y

    @staticmethod
    def backward(ctx, gradient):
        x, y, scale, power, band = ctx.saved_tensors
        # The band is symmetric, so the adjoint of the sum is the sum itself.
        ratio = F.conv2d((gradient * y).div_(scale), band).mul_(x)
        return (gradient * power).add_(ratio, alpha=-2 * ctx.alpha * ctx.beta), None, None, None, None


@register("LRN")
class LRN(Layer):
    """Divides each value by a power of the energy around it.

    ACROSS_CHANNELS: of local_size neighbouring channels at the same place. WITHIN_CHANNEL: of a
    square of side local_size in the same map; zeros around the map count, and k is always 1.
    """

    def setup(self, bottom):
        param = self.param.lrn_param
        if param.local_size % 2 == 0:
            raise self.error(f"LRN only supports odd values for local_size, not {param.local_size}")
        if len(bottom[0]) != 4:
            raise self.error(f"input must have 4 axes (num, channels, height, width), not {len(bottom[0])}")

    def top_shapes(self, bottom):
        return [bottom[0]]

    def forward(self, bottom, weights):
        (x,) = bottom
        param = self.param.lrn_param
        if param.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL:
            energy = F.avg_pool2d(x * x, param.local_size, 1, param.local_size // 2)
            return [x * (1 + param.alpha * energy).pow(-param.beta)]
        channel = torch.arange(x.shape[1], device=x.device)
        near = (channel[:, None] - channel[None, :]).abs() <= param.local_size // 2
        band = near.to(x.dtype)[:, :, None, None]
        return [_AcrossChannels.apply(x, band, param.alpha / param.local_size, param.beta, param.k)]
