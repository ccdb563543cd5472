"""InnerProduct, and Embed, its form for indices (Caffe's inner_product_layer.cpp, embed_layer.cpp)."""

import math

import torch.nn.functional as F

from caffe._layers._kernels.fused import linear
from caffe._layers.base import Layer, Precision, canonical_axis, no_gradient, register


@register("InnerProduct")
class InnerProduct(Layer):
    """A fully connected layer; the axes from ``axis`` on form one vector.

    Parameters (blobs): weights (num_output, inputs), or (inputs, num_output) with transpose, and bias.
    """

    precision = Precision.REDUCED
    casts_weights = False  # because linear does it better
    gives_own_gradient = True

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

    def forward(self, bottom, weights, relu=False):
        weight = weights[0].t() if self.param.inner_product_param.transpose else weights[0]
        bias = weights[1] if len(weights) > 1 else None
        return [linear(bottom[0].flatten(self.axis), weight, bias, relu)]

    def forward_relu(self, bottom, weights, in_place=False):
        """``forward`` and its ReLU in one step."""
        return self.forward(bottom, weights, relu=True)


@register("Embed")
class Embed(Layer):
    """Looks up the row of the weights for each value of the bottom, like an InnerProduct with one-hot vectors.

    Parameters (blobs): weights (input_dim, num_output), bias (num_output).
    """

    def setup(self, bottom):
        param = self.param.embed_param
        if param.num_output < 1 or param.input_dim < 1:
            raise self.error("num_output and input_dim must be 1 or more")
        self.add_blob(0, (param.input_dim, param.num_output), param.weight_filler)
        if param.bias_term:
            self.add_blob(1, (param.num_output,), param.bias_filler)

    def top_shapes(self, bottom):
        return [(*bottom[0], self.param.embed_param.num_output)]

    def lacks_gradient_of(self, index):
        return "indices"

    def forward(self, bottom, weights):
        weight, *bias = weights
        index = bottom[0].detach().long()
        # PyTorch's own assertion stops a wrong index on a GPU; a check here would wait for the device.
        if not index.is_cuda:
            wrong = index[(index < 0) | (index >= len(weight))]
            if len(wrong):
                raise self.error(f"input {wrong[0]} is out of range: input_dim is {len(weight)}, counted from 0")
        y = F.embedding(index, weight)
        return [no_gradient(self, y + bias[0] if bias else y, bottom[0], 0)]
