"""Losses of scores against class labels, besides SoftmaxWithLoss."""

import math

import torch

from caffe._blobproto import read_array
from caffe._layers.base import Shape, canonical_axis, register
from caffe._layers.loss import Floor, Loss, check_label_count, normalizer, read_labels
from caffe.proto import caffe_pb2

# Caffe's kLOG_THRESHOLD: the smallest probability whose log is taken.
_LEAST_PROBABILITY = 1e-20


class RowLoss(Loss):
    """Base of losses that take each record as one row of scores with one label; divided by the batch size."""

    def rows(self, bottom: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (num, classes) and labels (num), whole numbers."""
        scores = bottom[0].flatten(1) if bottom[0].dim() > 1 else bottom[0][:, None]
        # Caffe reads the first num labels, whatever the shape of their blob.
        labels = self.without_gradient(bottom[1]).flatten()[: len(scores)]
        return scores, read_labels(self, labels, scores, 1, None)


@register("HingeLoss")
class HingeLoss(RowLoss):
    """One against all: the sum of max(0, 1 - score) of the label and max(0, 1 + score) of the others.

    With norm L2 the sum of their squares (Caffe's hinge_loss_layer.cpp).
    """

    def forward(self, bottom, weights):
        scores, labels = self.rows(bottom)
        sign = torch.ones_like(scores).scatter_(1, labels[:, None], -1)
        margins = 1 + sign * scores
        margins = margins.where(margins > 0, 0)  # 0 for NaN, as in Caffe
        if self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
            margins = margins.square()
        return [margins.sum() / len(scores)]


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(RowLoss):
    """The mean of -log of the label's probability; bottoms are probabilities (multinomial_logistic_loss_layer.cpp)."""

    def top_shapes(self, bottom):
        shapes = super().top_shapes(bottom)
        if math.prod(bottom[1][1:]) != 1:
            raise self.error(f"labels must be one for each record, not of shape {bottom[1]}")
        return shapes

    def forward(self, bottom, weights):
        probabilities, labels = self.rows(bottom)
        chosen = Floor.apply(probabilities.gather(1, labels[:, None]), _LEAST_PROBABILITY)
        return [-chosen.log().sum() / len(labels)]


@register("InfogainLoss")
class InfogainLoss(Loss):
    """Softmax, then -log of every class's probability times the label's row of the matrix H (infogain_loss_layer.cpp).

    H comes from the file ``source`` (a BlobProto) or as the third bottom. Tops: the loss; if a second is
    named, the softmax scores.
    """

    bottoms = (2, 3)
    tops = (1, 2)

    def setup(self, bottom):
        param = self.param.infogain_loss_param
        if self.param.loss_param.HasField("normalize"):
            raise self.error("loss_param's normalize is deprecated; use normalization")
        self.matrix: torch.Tensor | None = None
        if len(bottom) < 3:
            if not param.HasField("source"):
                raise self.error("the infogain matrix must come from source or a third bottom")
            self.matrix = torch.from_numpy(read_array(param.source))

    def top_shapes(self, bottom):
        shapes = super().top_shapes(bottom)
        self.axis = canonical_axis(self.param.infogain_loss_param.axis, bottom[0], self)
        check_label_count(self, bottom[0], bottom[1], self.axis)
        self._check_matrix(bottom[0][self.axis], bottom[2] if self.matrix is None else tuple(self.matrix.shape))
        return [*shapes, bottom[0]][: max(1, len(self.param.top))]

    def _check_matrix(self, classes: int, shape: Shape) -> None:
        if math.prod(shape) != classes**2:
            raise self.error(f"the infogain matrix must be {classes} x {classes}, not {shape}")

    def forward(self, bottom, weights):
        scores = bottom[0]
        ignore, classes = self.ignore_label, scores.shape[self.axis]
        index = read_labels(self, self.without_gradient(bottom[1]), scores, self.axis, ignore)
        matrix = self.matrix if self.matrix is not None else self.without_gradient(bottom[2])
        matrix = matrix.to(scores).reshape(classes, classes)
        counted = torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore
        log_p = Floor.apply(scores.log_softmax(self.axis), math.log(_LEAST_PROBABILITY)).movedim(self.axis, -1)
        gain = matrix[index.where(counted, 0)] * counted[..., None]
        total = -(gain * log_p).sum()
        tops = [total / normalizer(self.normalization(), math.prod(scores.shape[: self.axis]), counted)]
        if len(self.param.top) > 1:
            tops.append(scores.detach().softmax(self.axis))
        return tops
