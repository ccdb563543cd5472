"""Accuracy (Caffe's accuracy_layer.cpp)."""

import torch

from caffe._layers.base import Layer, canonical_axis, register
from caffe._layers.loss import check_label_count, read_labels


@register("Accuracy")
class Accuracy(Layer):
    """The share of labels among the top_k scores; another class with the same score counts against the label.

    Tops: the accuracy, and optionally the accuracy of each class (0 for a class without labels).
    """

    bottoms = (2, 2)
    tops = (1, 2)

    def top_shapes(self, bottom):
        param = self.param.accuracy_param
        self.axis = canonical_axis(param.axis, bottom[0], self)
        check_label_count(self, bottom[0], bottom[1], self.axis)
        classes = bottom[0][self.axis]
        if param.top_k > classes:
            raise self.error(f"top_k {param.top_k} must be at most the number of classes, {classes}")
        return [(), (classes,)][: len(self.param.top)]

    def allow_force_backward(self, index):
        return False

    @torch.no_grad()
    def forward(self, bottom, weights):
        scores, labels = bottom
        param = self.param.accuracy_param
        ignore = param.ignore_label if param.HasField("ignore_label") else None
        index = read_labels(self, labels, scores, self.axis, ignore)
        counted = torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore
        index = index.where(counted, 0)
        true_score = scores.gather(self.axis, index.unsqueeze(self.axis))
        others = (scores >= true_score).sum(self.axis) - 1
        right = (others < param.top_k) & counted
        tops = [right.sum().float() / counted.sum().clamp(min=1)]
        if len(self.param.top) > 1:
            classes = scores.shape[self.axis]
            per_class = torch.bincount(index[counted], minlength=classes).clamp(min=1)
            tops.append(torch.bincount(index[right], minlength=classes).float() / per_class)
        return tops
