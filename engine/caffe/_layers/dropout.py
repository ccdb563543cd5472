"""Dropout (Caffe's dropout_layer.cpp)."""

from caffe._device import random_numbers
from caffe._layers.base import Precision, register
from caffe._layers.neuron import Neuron


@register("Dropout")
class Dropout(Neuron):
    """Drops values in TRAIN with probability dropout_ratio and scales the rest by 1 / (1 - ratio)."""

    precision = Precision.AS_GIVEN

    def setup(self, bottom):
        ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= ratio <= 1 or (self.training and ratio == 1):
            raise self.error(f"dropout_ratio must be 0 or more and below 1, not {ratio:g}")

    def forward(self, bottom, weights):
        if not self.training:
            return [bottom[0]]
        keep = 1 - self.param.dropout_param.dropout_ratio
        return [bottom[0] * random_numbers.dropout_mask(bottom[0], keep)]
