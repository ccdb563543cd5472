"""The base of losses (Caffe's loss_layer.cpp), and SoftmaxWithLoss."""

import math

import torch
from torch.autograd.function import once_differentiable

from caffe._layers.base import Layer, Shape, canonical_axis, register
from caffe.proto import caffe_pb2

_MODES = caffe_pb2.LossParameter.NormalizationMode


class Loss(Layer):
    """Base of losses: bottoms are predictions and labels, and the first top is one number."""

    bottoms = (2, 2)
    default_loss_weight = 1.0
    # Loss layers may omit their top; the net then makes one for them.
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
        """The label that does not count, or None."""
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
        """Return labels (or another bottom without a gradient); raise NetError if a gradient is needed."""
        if values.requires_grad:
            raise self.error("cannot backpropagate to label inputs: take them from a layer that learns nothing")
        return values


def normalizer(mode: str, outer: int, counted: torch.Tensor) -> torch.Tensor | int:
    """Return the divisor of a sum of losses, at least 1.

    Args:
        mode: a name of LossParameter.NormalizationMode.
        outer: the batch size, over all axes before the class axis.
        counted: one bool for each label, False if it is ignored.
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
        NetError: a label is no class (on the CPU; on a GPU PyTorch's own assertion stops it).
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


class _ByLabels(torch.autograd.Function):
    """A loss and its gradient, each by the layer's own formula.

    Real Caffe's losses read the blob of labels again in backward, so labels written after forward count. A
    user may choose them from the scores, for example as an action or a pseudo label.
    """

    @staticmethod
    def forward(ctx, layer, *bottom):
        loss, *saved = layer.loss(*bottom)
        ctx.layer, ctx.shapes = layer, [x.shape for x in bottom[: layer.learned]]
        ctx.save_for_backward(*saved, *bottom[layer.learned :])
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        layer, learned = ctx.layer, len(ctx.shapes)
        labels = len(ctx.needs_input_grad) - 1 - learned
        saved, labels = ctx.saved_tensors[:-labels], ctx.saved_tensors[-labels:]
        labels = [layer.at_backward(index, values) for index, values in enumerate(labels, learned)]
        gradients = layer.gradients(gradient, *saved, *labels)
        gradients = [each.reshape(shape) for each, shape in zip(gradients, ctx.shapes, strict=True)]
        return None, *gradients, *[None] * len(labels)


class LabelLoss(Loss):
    """Base of losses that compare bottoms with labels; backward uses the labels' current values.

    Attributes:
        learned: number of bottoms with a gradient; labels and their additions follow them.
    """

    learned = 1
    reads_late = True

    def loss(self, *bottom: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the loss, and the values that its gradient needs besides the labels."""
        raise NotImplementedError

    def gradients(self, gradient: torch.Tensor, *saved_and_labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return gradients of the learned bottoms, in any shape, from the values of ``loss`` and the labels."""
        raise NotImplementedError

    def at_backward(self, index: int, values: torch.Tensor) -> torch.Tensor:
        """A bottom's value during backward, in the shape and type of ``values``, which ``forward`` got."""
        if self.now is None:
            return values
        now = self.now[index]
        if now.numel() != values.numel():
            raise self.error(
                f"bottom '{self.param.bottom[index]}' had the shape {tuple(values.shape)} in forward and has "
                f"{tuple(now.shape)} in backward; run forward again"
            )
        return now.to(values).reshape(values.shape)

    def forward(self, bottom, weights):
        for labels in bottom[self.learned :]:
            self.without_gradient(labels)
        return [_ByLabels.apply(self, *bottom)]


class SoftmaxLoss(LabelLoss):
    """Base of losses of the softmax of scores along ``axis``. Tops: the loss, and optionally the softmax."""

    tops = (1, 2)
    axis: int

    def forward(self, bottom, weights):
        tops = super().forward(bottom, weights)
        if len(self.param.top) > 1:
            tops.append(bottom[0].detach().softmax(self.axis))
        return tops

    def read(self, scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Labels as indices with a class axis of length one (0 if ignored), and the mask of counted labels."""
        ignore = self.ignore_label
        index = read_labels(self, labels, scores, self.axis, ignore).unsqueeze(self.axis)
        counted = torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore
        return index.where(counted, 0), counted

    def divisor(self, scores: torch.Tensor, counted: torch.Tensor) -> torch.Tensor | int:
        """The divisor of the sum over all labels."""
        return normalizer(self.normalization(), math.prod(scores.shape[: self.axis]), counted)


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(SoftmaxLoss):
    """-log of the label's softmax score, summed and then divided according to ``normalization``.

    Tops: the loss, and optionally the softmax scores.
    """

    def top_shapes(self, bottom):
        self.axis = canonical_axis(self.param.softmax_param.axis, bottom[0], self)
        shapes = super().top_shapes(bottom)
        check_label_count(self, bottom[0], bottom[1], self.axis)
        return [*shapes, bottom[0]][: max(1, len(self.param.top))]

    def loss(self, scores, labels):
        index, counted = self.read(scores, labels)
        log_p = scores.log_softmax(self.axis)
        # Caffe takes the log of max(p, FLT_MIN), so the loss of one example never passes 87.3.
        chosen = log_p.gather(self.axis, index).clamp(min=math.log(torch.finfo(torch.float32).tiny))
        return -chosen.where(counted, 0).sum() / self.divisor(scores, counted), log_p

    def gradients(self, gradient, log_p, labels):
        index, counted = self.read(log_p, labels)
        of_scores = log_p.exp()
        of_scores.scatter_(self.axis, index, of_scores.gather(self.axis, index) - 1)
        factor = (gradient / self.divisor(log_p, counted)).where(counted, 0)
        return (of_scores * factor,)
