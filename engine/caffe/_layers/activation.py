"""Activations: ReLU and its successors (Caffe's relu_layer.cpp, elu_layer.cpp and so on)."""

import torch
import torch.nn.functional as F

from caffe._layers._kernels.prelu import prelu
from caffe._layers.base import Precision, register
from caffe._layers.neuron import Neuron, NeuronBySlope
from caffe.proto import caffe_pb2


@register("ReLU")
class ReLU(Neuron):
    """max(x, 0) + negative_slope * min(x, 0)."""

    precision = Precision.AS_GIVEN

    def forward(self, bottom, weights):
        slope = self.param.relu_param.negative_slope
        return [F.leaky_relu(bottom[0], slope) if slope else torch.relu(bottom[0])]

    def compute_over(self, bottom, weights):
        """``compute`` without negative_slope, with the top written over the bottom: the gradient needs only the top."""
        return [torch.relu_(bottom[0])]


@register("PReLU")
class PReLU(Neuron):
    """max(x, 0) + slope * min(x, 0), with a learned slope for each channel or one for all.

    Parameters (blobs): slopes (channels), or () with channel_shared. They start at 0.25 unless there is a filler.
    """

    precision = Precision.AS_GIVEN

    def setup(self, bottom):
        if not 2 <= len(bottom[0]) <= 4:
            raise self.error(f"input must have 2 to 4 axes, the second of channels, not {len(bottom[0])}")
        param = self.param.prelu_param
        quarter = caffe_pb2.FillerParameter(type="constant", value=0.25)
        shape = () if param.channel_shared else (bottom[0][1],)
        self.add_blob(0, shape, param.filler if param.HasField("filler") else quarter)

    def top_shapes(self, bottom):
        (slope,) = self.blobs
        if slope.shape and list(bottom[0][1:2]) != slope.shape:
            raise self.error(f"input of shape {bottom[0]} does not fit the slopes of {slope.count} channels")
        return [bottom[0]]

    def forward(self, bottom, weights):
        return [prelu(bottom[0], weights[0].reshape(-1))]


@register("ELU")
class ELU(NeuronBySlope):
    """x if it is positive, otherwise alpha * (exp(x) - 1)."""

    def value(self, x):
        return F.elu(x, self.param.elu_param.alpha)

    def slope(self, x, y):
        # As in Caffe, the slope is NaN for an infinite x.
        return (x > 0) + (self.param.elu_param.alpha + y) * (x <= 0)


@register("BNLL")
class BNLL(NeuronBySlope):
    """log(1 + exp(x)), the binomial normal log likelihood."""

    def value(self, x):
        # From 50 on, where exp could overflow, the result equals x to the last digit.
        return F.softplus(x, threshold=50)

    def slope(self, x, y):
        return x.sigmoid()


@register("Sigmoid")
class Sigmoid(Neuron):
    """1 / (1 + exp(-x))."""

    def forward(self, bottom, weights):
        return [bottom[0].sigmoid()]


@register("Swish")
class Swish(Neuron):
    """x * sigmoid(beta * x)."""

    keeps_bottoms = (0,)

    def forward(self, bottom, weights):
        (x,) = bottom
        return [x * (x * self.param.swish_param.beta).sigmoid()]


@register("TanH")
class TanH(Neuron):
    """The hyperbolic tangent."""

    def forward(self, bottom, weights):
        return [bottom[0].tanh()]
