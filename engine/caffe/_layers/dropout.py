"""Dropout (Caffe's dropout_layer.cpp)."""

import torch

from caffe import _rng
from caffe._layers.base import register
from caffe._layers.neuron import Neuron


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, mask, scale):
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return (x * mask).mul_(scale)

    @staticmethod
    def backward(ctx, gradient):
        (mask,) = ctx.saved_tensors
        return (gradient * mask).mul_(ctx.scale), None, None


@register("Dropout")
class Dropout(Neuron):
    """In TRAIN drops values with probability dropout_ratio and scales the rest by 1 / (1 - ratio)."""

    def setup(self, bottom):
        ratio = self.param.dropout_param.dropout_ratio
        if not 0 < ratio < 1:
            raise self.error(f"dropout_ratio must be between 0 and 1, not {ratio:g}")

    def forward(self, bottom, weights):
        if not self.training:
            return [bottom[0]]
        keep = 1 - self.param.dropout_param.dropout_ratio
        return [_Drop.apply(bottom[0], _rng.keep_mask(bottom[0], keep), 1 / keep)]
