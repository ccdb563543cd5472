"""Losses of the distance between two bottoms."""

import math

import torch

from caffe._layers.base import register
from caffe._layers.loss import LabelLoss, Loss


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


@register("ContrastiveLoss")
class ContrastiveLoss(LabelLoss):
    """Pulls similar pairs together and dissimilar ones ``margin`` apart (Caffe's contrastive_loss_layer.cpp).

    The loss is half the mean of d^2 for similar pairs and of max(0, margin - d)^2 for the others. With
    legacy_version the latter is max(0, margin - d^2). Bottoms: features (num, channels), features of the same
    shape, and 1 for each similar pair or 0. Caffe's gradient divides by d + 1e-4, so it stays finite.
    """

    bottoms = (3, 3)
    learned = 2

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

    def loss(self, first, second, similar):
        num = len(first)
        difference = (first - second.reshape(first.shape)).reshape(num, first.numel() // max(1, num))
        squared = difference.square().sum(1, keepdim=True)
        apart = self._apart(squared)
        if not self._legacy:
            apart = apart.square()
        return squared.where(self._similar(similar), apart).sum() / (2 * num), difference, squared

    def gradients(self, gradient, difference, squared, similar):
        apart = self._apart(squared)
        factor = -(apart > 0).to(apart) if self._legacy else -apart / (squared.sqrt() + 1e-4)
        of_first = difference * torch.where(self._similar(similar), 1, factor) * (gradient / len(difference))
        return of_first, -of_first

    @property
    def _legacy(self) -> bool:
        return self.param.contrastive_loss_param.legacy_version

    def _apart(self, squared: torch.Tensor) -> torch.Tensor:
        """The distance that each pair lacks to be ``margin`` apart."""
        return (self.param.contrastive_loss_param.margin - (squared if self._legacy else squared.sqrt())).relu()

    @staticmethod
    def _similar(similar: torch.Tensor) -> torch.Tensor:
        return similar.reshape(-1, 1).long() != 0
