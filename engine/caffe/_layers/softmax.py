"""Softmax (Caffe's softmax_layer.cpp)."""

from caffe._layers.base import Layer, canonical_axis, register


@register("Softmax")
class Softmax(Layer):
    """exp(x) over its sum along ``axis``."""

    backward_unasked = True

    def top_shapes(self, bottom):
        self.axis = canonical_axis(self.param.softmax_param.axis, bottom[0], self)
        return [bottom[0]]

    def forward(self, bottom, weights):
        return [bottom[0].softmax(self.axis)]
