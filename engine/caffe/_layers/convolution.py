"""Convolution (Caffe's base_conv_layer.cpp, conv_layer.cpp)."""

import torch
import torch.nn.functional as F

from caffe._layers.base import Layer, canonical_axis, register

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def spatial(layer: Layer, param, name: str, axes: int, default: int | None) -> tuple[int, ...]:
    """One number per spatial axis of a parameter given once, per axis, or as <name>_h and <name>_w.

    Args:
        name: 'kernel', 'stride', 'pad' or 'dilation'.
        axes: number of spatial axes.
        default: where nothing is given; None where it must be.

    Returns:
        A tuple of length ``axes``.
    """
    field = "kernel_size" if name == "kernel" else name
    given = list(getattr(param, field))
    if name != "dilation" and (param.HasField(f"{name}_h") or param.HasField(f"{name}_w")):
        if axes != 2:
            raise layer.error(f"{name}_h and {name}_w are for 2 spatial axes, not {axes}")
        if given:
            raise layer.error(f"give either {field} or {name}_h and {name}_w, not both")
        return getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
    if len(given) not in (1, axes) and not (default is not None and not given):
        raise layer.error(
            f"{field} must be given once or once per spatial axis (given {len(given)} times for {axes} axes)"
        )
    if not given:
        given = [default]
    return tuple(given * axes) if len(given) == 1 else tuple(given)


@register("Convolution")
class Convolution(Layer):
    """Convolves each bottom with the same filters; output sizes are rounded down.

    Parameters (blobs): weights (num_output, channels / group, kernel...), bias (num_output).
    """

    bottoms = (1, None)
    tops = (1, None)

    def setup(self, bottom):
        param = self.param.convolution_param
        self.axis = canonical_axis(param.axis, bottom[0], self)
        self.axes = axes = len(bottom[0]) - self.axis - 1
        if axes not in _CONVOLVE:
            raise self.error(f"{axes} spatial axes are not supported (1, 2 or 3 are)")
        self.kernel = spatial(self, param, "kernel", axes, None)
        self.stride = spatial(self, param, "stride", axes, 1)
        self.pad = spatial(self, param, "pad", axes, 0)
        self.dilation = spatial(self, param, "dilation", axes, 1)
        if min(self.kernel) < 1 or min(self.stride) < 1 or min(self.dilation) < 1:
            raise self.error("kernel, stride and dilation must be 1 or more")
        self.channels, self.group = bottom[0][self.axis], param.group
        if param.num_output < 1:
            raise self.error("num_output must be 1 or more")
        if self.group < 1 or self.channels % self.group or param.num_output % self.group:
            raise self.error(
                f"group {self.group} must divide the channels {self.channels} and num_output {param.num_output}"
            )
        self.add_blob(0, (param.num_output, self.channels // self.group, *self.kernel), param.weight_filler)
        if param.bias_term:
            self.add_blob(1, (param.num_output,), param.bias_filler)

    def top_shapes(self, bottom):
        if len(self.param.bottom) != len(self.param.top):
            raise self.error("each bottom needs one top")
        if any(shape != bottom[0] for shape in bottom):
            raise self.error(f"bottoms must have one shape, not {', '.join(map(str, bottom))}")
        if len(bottom[0]) != self.axis + 1 + self.axes or bottom[0][self.axis] != self.channels:
            raise self.error(f"input of shape {bottom[0]} does not fit filters made for {self.channels} channels")
        extent = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        size = tuple(
            (length + 2 * p - e) // s + 1
            for length, p, e, s in zip(bottom[0][self.axis + 1 :], self.pad, extent, self.stride, strict=True)
        )
        if min(size) < 1:
            raise self.error(f"the kernel does not fit into the input of shape {bottom[0]}")
        shape = (*bottom[0][: self.axis], self.param.convolution_param.num_output, *size)
        return [shape] * len(bottom)

    def forward(self, bottom, weights):
        weight, bias = weights[0], weights[1] if len(weights) > 1 else None
        tops = []
        for x in bottom:
            outer = x.shape[: self.axis]
            x = x.reshape(-1, *x.shape[self.axis :])
            if self.axes == 2:
                # Both oneDNN and cuDNN are fastest with channels innermost, and what follows keeps it.
                x = x.contiguous(memory_format=torch.channels_last)
            y = _CONVOLVE[self.axes](x, weight, bias, self.stride, self.pad, self.dilation, self.group)
            tops.append(y if len(outer) == 1 else y.reshape(*outer, *y.shape[1:]))
        return tops
