"""Layers that reduce an axis: Reduction, ArgMax (Caffe's reduction_layer.cpp, argmax_layer.cpp)."""

import math

import torch

from caffe._layers._partial_sort import largest
from caffe._layers.base import Layer, canonical_axis, no_gradient, register
from caffe.proto import caffe_pb2

_OPERATION = caffe_pb2.ReductionParameter.ReductionOp


@register("Reduction")
class Reduction(Layer):
    """coeff times the sum, the sum of absolute values or squares, or the mean, over all axes from ``axis`` on."""

    def top_shapes(self, bottom):
        self.axis = canonical_axis(self.param.reduction_param.axis, bottom[0], self)
        return [bottom[0][: self.axis]]

    def forward(self, bottom, weights):
        x = bottom[0].flatten(self.axis)
        operation = _OPERATION.Name(self.param.reduction_param.operation)
        if operation == "MEAN":
            y = x.mean(-1)
        else:
            y = {"SUM": lambda: x, "ASUM": x.abs, "SUMSQ": x.square}[operation]().sum(-1)
        coeff = self.param.reduction_param.coeff
        return [y if coeff == 1 else y * coeff]


@register("ArgMax")
class ArgMax(Layer):
    """Indices of the top_k largest values, largest first; among equal values the last comes first.

    Along ``axis`` the top has the bottom's shape with top_k there. With out_max_val it holds the values
    instead. Without ``axis`` each record is one vector and the top is (N, 1, top_k). With out_max_val it is
    then (N, 2, top_k), first the indices, then the values. It has no gradient.
    """

    has_backward = False

    def setup(self, bottom):
        self.check_top_k(bottom[0])

    def lacks_gradient_of(self, index):
        return "what it compares"

    def check_top_k(self, bottom) -> None:
        param = self.param.argmax_param
        if not bottom:
            raise self.error("input must have at least one axis")
        self.axis = canonical_axis(param.axis, bottom, self) if param.HasField("axis") else None
        length = math.prod(bottom[1:]) if self.axis is None else bottom[self.axis]
        if not 1 <= param.top_k <= length:
            raise self.error(f"top_k must be from 1 to {length}, the number of values, not {param.top_k}")

    def top_shapes(self, bottom):
        (shape,) = bottom
        self.check_top_k(shape)
        param = self.param.argmax_param
        if self.axis is not None:
            return [(*shape[: self.axis], param.top_k, *shape[self.axis + 1 :])]
        return [(shape[0], 2 if param.out_max_val else 1, param.top_k, *[1] * (len(shape) - 3))]

    def forward(self, bottom, weights):
        x = bottom[0].detach()
        param = self.param.argmax_param
        axis = self.axis
        if axis is None:
            x, axis = x.flatten(1), 1
        # Flip the values, because a stable sort leaves the first of equal values first.
        values, places = x.flip(axis).sort(dim=axis, descending=True, stable=True)
        values = values.narrow(axis, 0, param.top_k)
        indices = (x.shape[axis] - 1 - places.narrow(axis, 0, param.top_k)).to(x.dtype)
        # The sort puts NaN first.
        if not x.is_cuda and values.narrow(axis, 0, 1).isnan().any():
            values, indices = self._largest_beside_nan(x, axis, values, indices)
        if self.axis is not None:
            y = values if param.out_max_val else indices
        else:
            y = torch.stack((indices, values) if param.out_max_val else (indices,), 1)
            y = y.reshape(*y.shape, *[1] * (bottom[0].dim() - 3))
        return [no_gradient(self, y, bottom[0], 0)]

    def _largest_beside_nan(self, x, axis: int, values, indices) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and indices, on the CPU, with real Caffe's results for vectors that hold NaN."""
        x, values, indices = (each.movedim(axis, -1).contiguous() for each in (x, values, indices))
        for place in x.isnan().any(-1).nonzero().tolist():
            pairs = largest(x[tuple(place)].tolist(), self.param.argmax_param.top_k)
            values[tuple(place)], indices[tuple(place)] = x.new_tensor(pairs).t()
        return values.movedim(-1, axis), indices.movedim(-1, axis)
