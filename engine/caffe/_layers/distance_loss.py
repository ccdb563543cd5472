"""Losses of the distance between two bottoms."""

import math

import torch

from caffe._layers.base import register
from caffe._layers.loss import Loss


@register("EuclideanLoss")
class EuclideanLoss(Loss):
    """Half the sum of squared differences, divided by the batch size; both bottoms get gradients.

    Caffe's euclidean_loss_layer.cpp.
    """

    def top_shapes(self, bottom):
        shapes = super().top_shapes(bottom)
        if math.prod(bottom[0][1:]) != math.prod(bottom[1][1:]):
            raise self.error(f"inputs must have the same dimension, not {bottom[0]} and {bottom[1]}")
        return shapes

    def allow_force_backward(self, index):
        return True

    def forward(self, bottom, weights):
        difference = bottom[0] - bottom[1].reshape(bottom[0].shape)
        return [difference.square().sum() / (2 * len(difference))]


class _Length(torch.autograd.Function):
    """Euclidean length of each row; Caffe's gradient divides by the length plus 1e-4, so that it stays finite."""

    @staticmethod
    def forward(ctx, rows):
        length = rows.square().sum(1).sqrt()
        ctx.save_for_backward(rows, length)
        return length

    @staticmethod
    def backward(ctx, gradient):
        rows, length = ctx.saved_tensors
        return rows * (gradient / (length + 1e-4))[:, None]


@register("ContrastiveLoss")
class ContrastiveLoss(Loss):
    """Pulls similar pairs together and dissimilar ones ``margin`` apart (Caffe's contrastive_loss_layer.cpp).

    Half the mean of d^2 for similar pairs and of max(0, margin - d)^2 for the others; with legacy_version
    of max(0, margin - d^2). Bottoms: features (num, channels), features of the same shape, and for each
    pair whether it is similar (1 or 0).
    """

    bottoms = (3, 3)

    def top_shapes(self, bottom):
        shapes = super().top_shapes(bottom)
        first, second, similar = bottom
        if first[1:2] != second[1:2] or math.prod(first[2:]) != 1 or math.prod(second[2:]) != 1:
            raise self.error(f"features must be (num, channels), both alike, not {first} and {second}")
        if similar[:1] != first[:1] or math.prod(similar[1:]) != 1:
            raise self.error(f"each pair needs one number that says whether it is similar, not {similar}")
        return shapes

    def allow_force_backward(self, index):
        return index < 2

    def forward(self, bottom, weights):
        param = self.param.contrastive_loss_param
        num = len(bottom[0])
        difference = bottom[0].reshape(num, -1) - bottom[1].reshape(num, -1)
        similar = self.without_gradient(bottom[2]).flatten().long() != 0
        squared = difference.square().sum(1)
        if param.legacy_version:
            apart = (param.margin - squared).relu()
        else:
            apart = (param.margin - _Length.apply(difference)).relu().square()
        return [torch.where(similar, squared, apart).sum() / (2 * num)]
