"""SigmoidCrossEntropyLoss (Caffe's sigmoid_cross_entropy_loss_layer.cpp)."""

import math

import torch.nn.functional as F

from caffe._layers.base import register
from caffe._layers.loss import Loss, normalizer


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Loss):
    """Cross entropy of each sigmoid(score) with its target, a probability of its own.

    Divided by the batch size unless loss_param says otherwise. A target whose whole part is ignore_label
    does not count.
    """

    def top_shapes(self, bottom):
        shapes = super().top_shapes(bottom)
        if math.prod(bottom[0]) != math.prod(bottom[1]):
            raise self.error(f"inputs must have the same count, not {bottom[0]} and {bottom[1]}")
        return shapes

    def forward(self, bottom, weights):
        scores = bottom[0]
        targets = self.without_gradient(bottom[1]).reshape(scores.shape)
        ignore = self.ignore_label
        # NaN equals no target.
        counted = targets.trunc() != (math.nan if ignore is None else ignore)
        losses = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return [losses.where(counted, 0).sum() / normalizer(self.normalization("BATCH_SIZE"), len(scores), counted)]
