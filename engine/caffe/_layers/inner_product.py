"""InnerProduct (Caffe's inner_product_layer.cpp)."""

import math

import torch.nn.functional as F

from caffe._layers.base import Layer, canonical_axis, register


@register("InnerProduct")
class InnerProduct(Layer):
    """A fully connected layer: axes from ``axis`` on are one vector.

    Parameters (blobs): weights (num_output, inputs), or (inputs, num_output) with transpose; bias.
    """

    def setup(self, bottom):
        param = self.param.inner_product_param
        if param.num_output < 1:
            raise self.error("num_output must be 1 or more")
        self.axis = canonical_axis(param.axis, bottom[0], self)
        self.inputs = math.prod(bottom[0][self.axis :])
        shape = (param.num_output, self.inputs)
        self.add_blob(0, shape[::-1] if param.transpose else shape, param.weight_filler)
        if param.bias_term:
            self.add_blob(1, (param.num_output,), param.bias_filler)

    def top_shapes(self, bottom):
        if math.prod(bottom[0][self.axis :]) != self.inputs:
            raise self.error(f"input of shape {bottom[0]} does not fit weights made for {self.inputs} inputs")
        return [(*bottom[0][: self.axis], self.param.inner_product_param.num_output)]

    def forward(self, bottom, weights):
        weight = weights[0].t() if self.param.inner_product_param.transpose else weights[0]
        bias = weights[1] if len(weights) > 1 else None
        return [F.linear(bottom[0].flatten(self.axis), weight, bias)]
