"""Scale and Bias: a factor and a summand, learned or given (Caffe's scale_layer.cpp, bias_layer.cpp)."""

import torch

from caffe._layers.base import Layer, Shape, canonical_axis, register
from caffe.proto import caffe_pb2


class _Broadcast(Layer):
    """Base of layers that combine the bottom with a smaller array whose axes begin at ``axis``.

    The array is the second bottom, or a parameter with the shape of ``num_axes`` of the bottom's axes. A
    num_axes of -1 means all from ``axis`` on, and 0 a single number.
    """

    bottoms = (1, 2)

    def covered(self, param, bottom: Shape, axes: int) -> Shape:
        """The part of the bottom's shape that an array with ``axes`` axes covers."""
        axis = canonical_axis(param.axis, bottom, self)
        if axes < -1:
            raise self.error(f"num_axes must be 0 or more, or -1 for all that follow, not {axes}")
        if axis + axes > len(bottom):
            raise self.error(f"{axes} axes from axis {axis} on reach beyond the bottom of shape {bottom}")
        return bottom[axis:] if axes == -1 else bottom[axis : axis + axes]

    def check_fit(self, param, bottom: Shape, small: Shape) -> None:
        """Raise NetError unless an array of shape ``small`` lies on the bottom's axes from ``axis`` on."""
        if small and small != self.covered(param, bottom, len(small)):
            raise self.error(f"shape {small} does not fit the bottom of shape {bottom} from axis {param.axis} on")

    @staticmethod
    def spread(param, x: torch.Tensor, small: torch.Tensor) -> torch.Tensor:
        """``small`` with trailing axes of 1, so that PyTorch broadcasts it over x."""
        if small.dim() == 0:
            return small
        axis = param.axis % x.dim()
        return small.reshape(*small.shape, *[1] * (x.dim() - axis - small.dim()))


@register("Bias")
class Bias(_Broadcast):
    """x + bias.

    Parameters (blobs): with one bottom, the bias. It starts at 0 unless there is a filler.
    """

    def setup(self, bottom):
        param = self.param.bias_param
        if len(bottom) == 1:
            self.add_blob(0, self.covered(param, bottom[0], param.num_axes), param.filler)

    def top_shapes(self, bottom):
        small = bottom[1] if len(bottom) > 1 else tuple(self.blobs[0].shape)
        self.check_fit(self.param.bias_param, bottom[0], small)
        return [bottom[0]]

    def forward(self, bottom, weights):
        x, bias = (*bottom, *weights)
        return [x + self.spread(self.param.bias_param, x, bias)]


@register("Scale")
class Scale(_Broadcast):
    """x * scale, plus with bias_term a bias of the same shape as scale.

    Parameters (blobs): with one bottom the scale, which starts at 1 unless there is a filler. With bias_term
    the bias follows.
    """

    def setup(self, bottom):
        param = self.param.scale_param
        if len(bottom) == 1:
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            filler = param.filler if param.HasField("filler") else one
            self.add_blob(0, self.covered(param, bottom[0], param.num_axes), filler)
        if param.bias_term:
            axes = len(bottom[1]) if len(bottom) > 1 else param.num_axes
            self.add_blob(2 - len(bottom), self.covered(param, bottom[0], axes), param.bias_filler)

    def top_shapes(self, bottom):
        for small in (*bottom[1:], *(tuple(blob.shape) for blob in self.blobs)):
            self.check_fit(self.param.scale_param, bottom[0], small)
        return [bottom[0]]

    def forward(self, bottom, weights):
        x, *small = (*bottom, *weights)
        scale, *bias = (self.spread(self.param.scale_param, x, each) for each in small)
        return [torch.addcmul(bias[0], x, scale) if bias else x * scale]
