"""Convolution, Deconvolution, Im2col (Caffe's base_conv_layer.cpp, conv_, deconv_ and im2col_layer.cpp)."""

import math

from caffe._layers._kernels.window import Windows, convolve, deconvolve, im2col
from caffe._layers.base import Layer, Precision, canonical_axis, register


@register("Convolution")
class Convolution(Layer):
    """Convolves each bottom with the same filters; output sizes are rounded down.

    It takes any number of spatial axes, including 0. force_nd_im2col and engine choose among programs with
    the same result, and change nothing here.

    Parameters (blobs): weights (num_output, channels / group, kernel...), bias (num_output).
    """

    bottoms = (1, None)
    tops = (1, None)
    precision = Precision.REDUCED
    gives_own_gradient = True

    def setup(self, bottom):
        param = self.param.convolution_param
        self.axis = canonical_axis(param.axis, bottom[0], self)
        self.windows = Windows(self, len(bottom[0]) - self.axis - 1)
        self.channels, self.group = bottom[0][self.axis], param.group
        if param.num_output < 1:
            raise self.error("num_output must be 1 or more")
        if self.group < 1 or self.channels % self.group or param.num_output % self.group:
            raise self.error(
                f"group {self.group} must divide the channels {self.channels} and num_output {param.num_output}"
            )
        self.add_blob(0, (*self._filters(), *self.windows.kernel), param.weight_filler)
        if param.bias_term:
            self.add_blob(1, (param.num_output,), param.bias_filler)

    def _filters(self) -> tuple[int, int]:
        return self.param.convolution_param.num_output, self.channels // self.group

    def top_shapes(self, bottom):
        if len(self.param.bottom) != len(self.param.top):
            raise self.error("each bottom needs one top")
        if any(shape != bottom[0] for shape in bottom):
            raise self.error(f"bottoms must have one shape, not {', '.join(map(str, bottom))}")
        if len(bottom[0]) != self.axis + 1 + len(self.windows.kernel) or bottom[0][self.axis] != self.channels:
            raise self.error(f"input of shape {bottom[0]} does not fit filters made for {self.channels} channels")
        size = self._size(bottom[0][self.axis + 1 :])
        if min(size, default=1) < 1:
            raise self.error(f"the kernel does not fit into the input of shape {bottom[0]}")
        shape = (*bottom[0][: self.axis], self.param.convolution_param.num_output, *size)
        return [shape] * len(bottom)

    def _size(self, size):
        return self.windows.convolved(size)

    _compute = staticmethod(convolve)

    def forward_relu(self, bottom, weights, in_place=False):
        """``forward`` and its ReLU in one step."""
        return self.forward(bottom, weights, relu=True, in_place=in_place)

    def forward(self, bottom, weights, **relu):
        weight, bias = weights[0], weights[1] if len(weights) > 1 else None
        windows = self.windows
        tops = []
        for x in bottom:
            outer = x.shape[: self.axis]
            x = x.reshape(-1, *x.shape[self.axis :])
            y = self._compute(x, weight, bias, windows.stride, windows.pad, windows.dilation, self.group, **relu)
            tops.append(y if len(outer) == 1 else y.reshape(*outer, *y.shape[1:]))
        return tops


@register("Deconvolution")
class Deconvolution(Convolution):
    """Convolution's forward and backward passes exchanged: spreads each value over a window.

    Parameters (blobs): weights (channels, num_output / group, kernel...), bias (num_output).
    """

    def _filters(self):
        return self.channels, self.param.convolution_param.num_output // self.group

    def _size(self, size):
        return self.windows.deconvolved(size)

    _compute = staticmethod(deconvolve)
    forward_relu = None


@register("Im2col")
class Im2col(Layer):
    """Lays out each window of the input as a column: channels become channels * kernel size."""

    backward_unasked = True

    def setup(self, bottom):
        self.axis = canonical_axis(self.param.convolution_param.axis, bottom[0], self)
        axes = len(bottom[0]) - self.axis - 1
        if axes < 1:
            raise self.error(f"the input of shape {bottom[0]} has no spatial axis after axis {self.axis}")
        self.windows = Windows(self, axes)

    def top_shapes(self, bottom):
        (shape,) = bottom
        if len(shape) != self.axis + 1 + len(self.windows.kernel):
            raise self.error(f"input of shape {shape} must have {len(self.windows.kernel)} spatial axes")
        size = self.windows.convolved(shape[self.axis + 1 :])
        if min(size) < 1:
            raise self.error(f"the kernel does not fit into the input of shape {shape}")
        return [(*shape[: self.axis], shape[self.axis] * math.prod(self.windows.kernel), *size)]

    def forward(self, bottom, weights):
        (x,) = bottom
        windows = self.windows
        columns = im2col(
            x.reshape(-1, *x.shape[self.axis :]), windows.kernel, windows.stride, windows.pad, windows.dilation
        )
        return [columns.reshape(*x.shape[: self.axis], *columns.shape[1:])]
