"""Element-wise layers (Caffe's neuron_layer.cpp and its kin), except the activations in activation.py."""

import math

import torch

from caffe._layers.base import Layer, no_gradient, register


class Neuron(Layer):
    """Base of element-wise layers; the top has the bottom's shape and may be computed in place."""

    def top_shapes(self, bottom):
        return [bottom[0]]


class _BySlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, layer):
        y = layer.value(x)
        ctx.save_for_backward(y if layer.in_place and layer.reads_top_in_place else x, y)
        ctx.layer = layer
        return y

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.layer.slope(*ctx.saved_tensors), None


class NeuronBySlope(Neuron):
    """Base of element-wise layers whose gradient is Caffe's own formula.

    Attributes:
        reads_top_in_place: True if Caffe takes the gradient at the bottom's values, which in place are already
            the top's. That is not the derivative. Caffe allows it, so such nets train the same here.
    """

    reads_top_in_place = True

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """The top for the bottom x."""
        raise NotImplementedError

    def slope(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The factor of the gradient, from the bottom x and the top y."""
        raise NotImplementedError

    def forward(self, bottom, weights):
        return [_BySlope.apply(bottom[0], self)]


@register("AbsVal")
class AbsVal(Neuron):
    """abs(x); the gradient at 0 is 0."""

    def setup(self, bottom):
        if self.in_place:
            raise self.error("it cannot be computed in place; give its top a name of its own")

    def forward(self, bottom, weights):
        return [bottom[0].abs()]


@register("Clip")
class Clip(NeuronBySlope):
    """max(min, min(x, max)); the gradient passes at the limits themselves."""

    def value(self, x):
        least = self.param.clip_param.min
        y = x.clamp(max=self.param.clip_param.max).clamp(min=least)
        # Caffe turns NaN into the minimum. The sum detects NaN in a tenth of the time of another pass.
        return y if not y.is_cuda and y.sum().isfinite() else torch.fmax(y, y.new_tensor(least))

    def slope(self, x, y):
        return (x >= self.param.clip_param.min) & (x <= self.param.clip_param.max)


def _log_of_base(layer: Layer, base: float) -> float:
    """log(base); base -1 stands for e."""
    if base == -1:
        return 1.0
    if not 0 < base < math.inf:
        raise layer.error(f"base must be positive, or -1 for e, not {base:g}")
    return math.log(base)


@register("Exp")
class Exp(Neuron):
    """base ^ (shift + scale * x)."""

    def setup(self, bottom):
        param = self.param.exp_param
        log_base = _log_of_base(self, param.base)
        self.inner = log_base * param.scale
        # As in Caffe, this factor is outside of the exponent, so that both overflow for the same x.
        self.outer = torch.tensor(log_base * param.shift, dtype=torch.float64).exp().item()

    def forward(self, bottom, weights):
        return [(bottom[0] * self.inner).exp() * self.outer]


@register("Log")
class Log(Neuron):
    """log(shift + scale * x) to the given base.

    In place real Caffe loses the gradient from above; here it is the derivative.
    """

    def setup(self, bottom):
        self.log_base = _log_of_base(self, self.param.log_param.base)
        if self.log_base == 0:
            raise self.error("base cannot be 1")

    def forward(self, bottom, weights):
        param = self.param.log_param
        return [(bottom[0] * param.scale + param.shift).log() / self.log_base]


@register("Power")
class Power(NeuronBySlope):
    """(shift + scale * x) ^ power.

    Caffe computes the gradient by a division. Except for the powers 0, 1 and 2 it is NaN if shift + scale * x
    is 0. In place Caffe loses the gradient from above; here it is the same as with a separate top.
    """

    reads_top_in_place = False

    def value(self, x):
        param = self.param.power_param
        if param.scale == 0 or param.power == 0:  # The result is constant, even for NaN.
            return torch.full_like(
                x, 1 if param.power == 0 else torch.tensor(param.shift, dtype=x.dtype).pow(param.power).item()
            )
        linear = self._linear(x)
        if param.power == 1:
            return linear
        if abs(param.power) != 0.5:
            return linear.pow(param.power)
        # PyTorch uses a square root, which is NaN for -inf; C's pow is not.
        return linear.pow(param.power).masked_fill(linear == -math.inf, math.inf if param.power > 0 else 0)

    def slope(self, x, y):
        param = self.param.power_param
        factor = param.power * param.scale
        if factor == 0 or param.power == 1:
            return torch.full_like(x, factor)
        return factor * (self._linear(x) if param.power == 2 else y / self._linear(x))

    def _linear(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.param.power_param.scale + self.param.power_param.shift


@register("Threshold")
class Threshold(Neuron):
    """1 if x is above the threshold, otherwise 0; it has no gradient."""

    has_backward = False

    def lacks_gradient_of(self, index):
        return "a threshold's input"

    def forward(self, bottom, weights):
        (x,) = bottom
        above = (x > self.param.threshold_param.threshold).to(x.dtype)
        return [no_gradient(self, above, x, 0)]
