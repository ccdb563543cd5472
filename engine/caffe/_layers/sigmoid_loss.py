"""SigmoidCrossEntropyLoss (Caffe's sigmoid_cross_entropy_loss_layer.cpp)."""

import math

import torch
import torch.nn.functional as F

from caffe._layers.base import register
from caffe._layers.loss import LabelLoss, normalizer


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(LabelLoss):
    """Cross entropy of each sigmoid(score) with its own target, a probability.

    The sum is divided by the batch size unless loss_param says otherwise. A target whose integer part is
    ignore_label does not count.
    """

    def top_shapes(self, bottom):
        shapes = super().top_shapes(bottom)
        if math.prod(bottom[0]) != math.prod(bottom[1]):
            raise self.error(f"inputs must have the same count, not {bottom[0]} and {bottom[1]}")
        return shapes

    def loss(self, scores, targets):
        targets = targets.reshape(scores.shape)
        counted = self._counted(targets)
        losses = F.binary_cross_entropy_with_logits(scores, targets, reduction="none").where(counted, 0)
        # As in Caffe, keep the divisor for the gradient: a target written after forward does not change it.
        divisor = torch.as_tensor(
            normalizer(self.normalization("BATCH_SIZE"), len(scores), counted), device=scores.device
        )
        return losses.sum() / divisor, scores.sigmoid(), divisor

    def gradients(self, gradient, sigmoid, divisor, targets):
        targets = targets.reshape(sigmoid.shape)
        return ((sigmoid - targets).where(self._counted(targets), 0) * (gradient / divisor),)

    def _counted(self, targets: torch.Tensor) -> torch.Tensor:
        ignore = self.ignore_label
        return targets.trunc() != (math.nan if ignore is None else ignore)  # NaN equals no target
