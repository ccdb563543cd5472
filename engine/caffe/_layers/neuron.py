"""Layers that work element by element (Caffe's neuron_layer.cpp and its kin)."""

import torch
import torch.nn.functional as F

from caffe._layers.base import Layer, register


class Neuron(Layer):
    """Base of element-wise layers: the top has the bottom's shape; it may be computed in place."""

    def top_shapes(self, bottom):
        return [bottom[0]]


@register("ReLU")
class ReLU(Neuron):
    """max(x, 0) + negative_slope * min(x, 0)."""

    def forward(self, bottom, weights):
        slope = self.param.relu_param.negative_slope
        return [F.leaky_relu(bottom[0], slope) if slope else torch.relu(bottom[0])]


@register("Power")
class Power(Neuron):
    """(shift + scale * x) ^ power."""

    def forward(self, bottom, weights):
        param = self.param.power_param
        linear = bottom[0] * param.scale + param.shift
        return [linear if param.power == 1 else linear.pow(param.power)]
