"""MVN, mean and variance normalisation (Caffe's mvn_layer.cpp)."""

import torch

from caffe._layers.base import Layer, register


class _Normalize(torch.autograd.Function):
    """(x - mean) / (deviation + eps) of each row of a matrix.

    Caffe's gradient treats the divisor, eps included, as the deviation. So it stays finite for constant rows.
    It is the derivative if eps is small beside the deviation.
    """

    @staticmethod
    def forward(ctx, x, eps):
        centered = x - x.mean(1, keepdim=True)
        divisor = centered.square().mean(1, keepdim=True).sqrt_().add_(eps)
        y = centered.div_(divisor)
        ctx.save_for_backward(y, divisor)
        return y

    @staticmethod
    def backward(ctx, gradient):
        y, divisor = ctx.saved_tensors
        along = (gradient * y).mean(1, keepdim=True)
        return (gradient - gradient.mean(1, keepdim=True) - along * y) / divisor, None


@register("MVN")
class MVN(Layer):
    """Gives each map, or with across_channels each image, mean 0 and (normalize_variance) variance 1.

    The top always has 4 axes (num, channels, height, width), as old blobs had.
    """

    backward_unasked = True

    def top_shapes(self, bottom):
        if len(bottom[0]) > 4:
            raise self.error(f"input must have at most 4 axes (num, channels, height, width), not {len(bottom[0])}")
        return [(*bottom[0], 1, 1, 1, 1)[:4]]

    def forward(self, bottom, weights):
        param = self.param.mvn_param
        (shape,) = self.top_shapes([tuple(bottom[0].shape)])
        rows = shape[0] if param.across_channels else shape[0] * shape[1]
        x = bottom[0].reshape(rows, bottom[0].numel() // max(1, rows))
        y = _Normalize.apply(x, param.eps) if param.normalize_variance else x - x.mean(1, keepdim=True)
        return [y.reshape(shape)]
