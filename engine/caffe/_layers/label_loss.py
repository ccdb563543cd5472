"""Losses of scores against class labels, except SoftmaxWithLoss."""

import math

import torch

from caffe._files.blobproto import read_array
from caffe._layers.base import Shape, canonical_axis, register
from caffe._layers.loss import LabelLoss, SoftmaxLoss, check_label_count, read_labels
from caffe.proto import caffe_pb2

# Caffe's kLOG_THRESHOLD, the lower bound of a probability before its log.
_LEAST_PROBABILITY = 1e-20


class RowLoss(LabelLoss):
    """Base of losses with a row of scores and a label per record; the batch size divides their sum."""

    @staticmethod
    def rows(bottom: torch.Tensor) -> torch.Tensor:
        """Scores as (num, classes)."""
        return bottom.flatten(1) if bottom.dim() > 1 else bottom[:, None]

    def column(self, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Labels as whole numbers, (num, 1)."""
        # Caffe reads the first num labels, whatever the shape of their blob.
        return read_labels(self, labels.flatten()[: len(rows)], rows, 1, None)[:, None]


@register("HingeLoss")
class HingeLoss(RowLoss):
    """One against all: the sum of max(0, 1 - score) of the label and max(0, 1 + score) of the others.

    With norm L2 it is the sum of their squares (Caffe's hinge_loss_layer.cpp). If a label is written after
    forward, Caffe's gradient changes only the sign; the margins stay those of forward's labels.
    """

    @property
    def _squares(self) -> bool:
        return self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2

    def loss(self, scores, labels):
        rows = self.rows(scores)
        sign = torch.ones_like(rows).scatter_(1, self.column(rows, labels), -1)
        margins = 1 + sign * rows
        margins = margins.where(margins > 0, 0)  # NaN becomes 0, as in Caffe.
        return (margins.square() if self._squares else margins).sum() / len(rows), margins

    def gradients(self, gradient, margins, labels):
        slope = margins * 2 if self._squares else margins.sign()
        index = self.column(margins, labels)
        return (slope.scatter(1, index, -slope.gather(1, index)) * (gradient / len(margins)),)


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(RowLoss):
    """The mean of -log of the label's probability; bottoms are probabilities (multinomial_logistic_loss_layer.cpp)."""

    def top_shapes(self, bottom):
        shapes = super().top_shapes(bottom)
        if math.prod(bottom[1][1:]) != 1:
            raise self.error(f"labels must be one for each record, not of shape {bottom[1]}")
        return shapes

    def loss(self, probabilities, labels):
        rows = self.rows(probabilities)
        return -self._chosen(rows, self.column(rows, labels)).log().sum() / len(rows), rows

    def gradients(self, gradient, rows, labels):
        index = self.column(rows, labels)
        return (torch.zeros_like(rows).scatter_(1, index, -gradient / len(rows) / self._chosen(rows, index)),)

    @staticmethod
    def _chosen(rows, index):
        return rows.gather(1, index).clamp(min=_LEAST_PROBABILITY)


@register("InfogainLoss")
class InfogainLoss(SoftmaxLoss):
    """Softmax, then -log of every class's probability times the label's row of the matrix H (infogain_loss_layer.cpp).

    H comes from the file ``source`` (a BlobProto) or as the third bottom. Tops: the loss, and optionally the
    softmax scores.
    """

    bottoms = (2, 3)

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

    def loss(self, scores, labels, *matrix):
        gain, counted = self._gain(scores, labels, *matrix)
        log_p = scores.log_softmax(self.axis)
        total = -(gain * log_p.clamp(min=math.log(_LEAST_PROBABILITY))).sum()
        return total / self.divisor(scores, counted), log_p

    def gradients(self, gradient, log_p, labels, *matrix):
        gain, counted = self._gain(log_p, labels, *matrix)
        of_scores = log_p.exp() * gain.sum(self.axis, keepdim=True) - gain
        return (of_scores * (gradient / self.divisor(log_p, counted)),)

    def _gain(self, scores, labels, matrix=None) -> tuple[torch.Tensor, torch.Tensor]:
        """Every label's row of H along the class axis, 0 if it is ignored, and the mask of counted labels."""
        index, counted = self.read(scores, labels)
        classes = scores.shape[self.axis]
        matrix = (self.matrix if matrix is None else matrix).to(scores).reshape(classes, classes)
        return matrix[index.squeeze(self.axis)].movedim(-1, self.axis).where(counted, 0), counted
