"""The base of losses (Caffe's loss_layer.cpp), and SoftmaxWithLoss."""

import math

import torch
import torch.nn.functional as F

from caffe._layers.base import Layer, Shape, canonical_axis, register
from caffe.proto import caffe_pb2

_MODES = caffe_pb2.LossParameter.NormalizationMode


class Loss(Layer):
    """Base of losses: bottoms are predictions and labels; the first top is one number."""

    bottoms = (2, 2)
    default_loss_weight = 1.0
    # Loss layers may leave out their top: one is made for them.
    auto_top_blobs = True

    def top_shapes(self, bottom):
        if bottom[0][:1] != bottom[1][:1]:
            raise self.error(
                f"the data and label should have the same first dimension, not {bottom[0]} and {bottom[1]}"
            )
        return [()]

    def allow_force_backward(self, index):
        return index == 0

    @property
    def ignore_label(self) -> int | None:
        """The label that does not count; None where none is given."""
        param = self.param.loss_param
        return param.ignore_label if param.HasField("ignore_label") else None

    def normalization(self, default: str = "VALID") -> str:
        """FULL, VALID, BATCH_SIZE or NONE, from the field of that name or the older normalize."""
        param = self.param.loss_param
        if param.HasField("normalization"):
            return _MODES.Name(param.normalization)
        if param.HasField("normalize"):
            return "VALID" if param.normalize else "BATCH_SIZE"
        return default

    def without_gradient(self, values: torch.Tensor) -> torch.Tensor:
        """Labels (or another bottom that has no gradient), or NetError where one is asked for."""
        if values.requires_grad:
            raise self.error("cannot backpropagate to label inputs: take them from a layer that learns nothing")
        return values


def normalizer(mode: str, outer: int, counted: torch.Tensor) -> torch.Tensor | int:
    """What a sum of losses is divided by, at least 1.

    Args:
        mode: a name of LossParameter.NormalizationMode.
        outer: the batch size (all axes before the one of the classes).
        counted: bool, one for each label: false where it is ignored.
    """
    if mode == "VALID":
        return counted.sum().clamp(min=1)
    return max(1, {"FULL": counted.numel(), "BATCH_SIZE": outer, "NONE": 1}[mode])


def check_label_count(layer: Layer, scores: Shape, labels: Shape, axis: int) -> None:
    """Raise NetError unless there is one label for each vector of scores along ``axis``."""
    want = math.prod(scores[:axis]) * math.prod(scores[axis + 1 :])
    if math.prod(labels) != want:
        raise layer.error(
            f"number of labels ({math.prod(labels)}) must match the number of predictions ({want}): "
            "for predictions (N, C, H, W) along axis 1, labels must be N*H*W whole numbers from 0 to C-1"
        )


def read_labels(
    layer: Layer, labels: torch.Tensor, scores: torch.Tensor, axis: int, ignore: int | None
) -> torch.Tensor:
    """Labels as whole numbers in the shape of scores without ``axis``.

    Raises:
        NetError: on the CPU, for a label that is no class (on a GPU PyTorch's own assertion stops it).
    """
    shape = scores.shape[:axis] + scores.shape[axis + 1 :]
    index = labels.detach().reshape(shape).long()
    if not index.is_cuda:
        wrong = (index < 0) | (index >= scores.shape[axis])
        if ignore is not None:
            wrong &= index != ignore
        if wrong.any():
            raise layer.error(
                f"label {int(index[wrong][0])} is not a class: there are {scores.shape[axis]} (0 to {scores.shape[axis] - 1})"
            )
    return index


class Floor(torch.autograd.Function):
    """Bounds values from below and lets the gradient through, as Caffe's forward and backward of a log do."""

    @staticmethod
    def forward(ctx, values, floor):
        return values.clamp(min=floor)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(Loss):
    """-log of the softmax score of the label, summed and divided as ``normalization`` says.

    Tops: the loss; if a second is named, the softmax scores.
    """

    tops = (1, 2)

    def top_shapes(self, bottom):
        self.axis = canonical_axis(self.param.softmax_param.axis, bottom[0], self)
        shapes = super().top_shapes(bottom)
        check_label_count(self, bottom[0], bottom[1], self.axis)
        return [*shapes, bottom[0]][: max(1, len(self.param.top))]

    def forward(self, bottom, weights):
        scores, labels = bottom[0], self.without_gradient(bottom[1])
        ignore = self.ignore_label
        index = read_labels(self, labels, scores, self.axis, ignore)
        # nll_loss has no backward for a view with its axes moved.
        log_p = scores.log_softmax(self.axis).movedim(self.axis, 1).contiguous()
        # Caffe takes the log of max(p, FLT_MIN): the loss of one example never passes 87.3.
        floor = math.log(torch.finfo(torch.float32).tiny)
        ignore_index = -(2**31) if ignore is None else ignore
        # Summed apart: for scores with places, a GPU would sum in an order left to chance (--deterministic refuses that).
        nll = F.nll_loss(Floor.apply(log_p, floor), index, reduction="none", ignore_index=ignore_index).sum()
        outer, counted = math.prod(scores.shape[: self.axis]), index != ignore_index
        tops = [nll / normalizer(self.normalization(), outer, counted)]
        if len(self.param.top) > 1:
            tops.append(scores.detach().softmax(self.axis))
        return tops
