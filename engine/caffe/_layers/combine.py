"""Layers that join blobs or take them apart (Caffe's concat_layer.cpp, slice_layer.cpp, eltwise_layer.cpp)."""

from itertools import pairwise

import torch

from caffe._layers.base import Layer, Precision, Shape, canonical_axis, register
from caffe.proto import caffe_pb2

_OPERATION = caffe_pb2.EltwiseParameter.EltwiseOp


def _axis(layer: Layer, param, older: str, shape: Shape) -> int:
    """The axis from the field axis or its older name, which cannot count from the end."""
    if not param.HasField(older):
        return canonical_axis(param.axis, shape, layer)
    if param.HasField("axis"):
        raise layer.error(f"give either axis or {older}, not both")
    if getattr(param, older) >= len(shape):
        raise layer.error(f"{older} {getattr(param, older)} is out of range for a blob with {len(shape)} axes")
    return getattr(param, older)


@register("Concat")
class Concat(Layer):
    """Joins bottoms along ``axis``; their other dimensions are equal."""

    precision = Precision.AS_GIVEN

    bottoms = (1, None)

    def setup(self, bottom):
        self.shares_values = self.shares_gradients = len(bottom) == 1

    def top_shapes(self, bottom):
        self.axis = axis = _axis(self, self.param.concat_param, "concat_dim", bottom[0])
        for shape in bottom[1:]:
            if shape[:axis] != bottom[0][:axis] or shape[axis + 1 :] != bottom[0][axis + 1 :]:
                raise self.error(f"bottoms may differ in axis {axis} only, not {', '.join(map(str, bottom))}")
            if len(shape) != len(bottom[0]):
                raise self.error(f"bottoms must have equally many axes, not {', '.join(map(str, bottom))}")
        return [(*bottom[0][:axis], sum(shape[axis] for shape in bottom), *bottom[0][axis + 1 :])]

    def forward(self, bottom, weights):
        return [torch.cat(tuple(bottom), self.axis)]


@register("Slice")
class Slice(Layer):
    """Cuts the bottom along ``axis``, into equal parts or before each slice_point."""

    precision = Precision.AS_GIVEN

    tops = (1, None)

    def setup(self, bottom):
        self.shares_values = self.shares_gradients = len(self.param.top) == 1

    def top_shapes(self, bottom):
        (shape,) = bottom
        param = self.param.slice_param
        self.axis = axis = _axis(self, param, "slice_dim", shape)
        tops, length = len(self.param.top), shape[axis]
        if param.slice_point:
            if len(param.slice_point) != tops - 1:
                raise self.error(f"{tops} tops need {tops - 1} slice_point(s), not {len(param.slice_point)}")
            if tops > length:
                raise self.error(f"axis {axis} of length {length} cannot be cut into {tops} tops")
            self.lengths = [after - before for before, after in pairwise([0, *param.slice_point, length])]
            if min(self.lengths[:-1]) < 1 or self.lengths[-1] < 0:
                raise self.error(
                    f"slice_point(s) {', '.join(map(str, param.slice_point))} must ascend from 1 to at most {length}"
                )
        elif length % tops:
            raise self.error(f"axis {axis} of length {length} cannot be cut into {tops} equal tops")
        else:
            self.lengths = [length // tops] * tops
        return [(*shape[:axis], part, *shape[axis + 1 :]) for part in self.lengths]

    def forward(self, bottom, weights):
        return list(bottom[0].split(self.lengths, self.axis))


class _ProductByDivision(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *factors):
        y = _product(factors)
        ctx.save_for_backward(y, *factors)
        return y

    @staticmethod
    def backward(ctx, gradient):
        y, *factors = ctx.saved_tensors
        return tuple(y / x * gradient for x in factors)


def _product(factors) -> torch.Tensor:
    y = factors[0] * factors[1]
    for x in factors[2:]:
        y = y * x
    return y


@register("Eltwise")
class Eltwise(Layer):
    """Product, sum (each bottom times its coeff) or maximum of bottoms of one shape.

    MAX gives the gradient to one bottom. If the first two tie, the second gets it; a later bottom gets it
    only if it is larger. PROD without stable_prod_grad divides the product by the factor, which gives NaN
    for a factor of 0.
    """

    precision = Precision.AS_GIVEN

    bottoms = (2, None)

    def setup(self, bottom):
        param = self.param.eltwise_param
        if len(param.coeff) not in (0, len(bottom)):
            raise self.error(f"give one coeff per bottom or none, not {len(param.coeff)} for {len(bottom)} bottoms")
        if param.coeff and param.operation == _OPERATION.Value("PROD"):
            raise self.error("coeff is only for SUM, not for PROD")

    def top_shapes(self, bottom):
        if any(shape != bottom[0] for shape in bottom):
            raise self.error(f"bottoms must have one shape, not {', '.join(map(str, bottom))}")
        return [bottom[0]]

    def forward(self, bottom, weights):
        param = self.param.eltwise_param
        operation = _OPERATION.Name(param.operation)
        if operation == "PROD":
            return [_product(bottom) if param.stable_prod_grad else _ProductByDivision.apply(*bottom)]
        first, second, *others = bottom
        if operation == "MAX":
            y = first.where(first > second, second)
            for x in others:
                y = x.where(x > y, y)
            return [y]
        # A bottom with the coefficient 0 is not read, so its NaN does not count.
        terms = [(x, c) for x, c in zip(bottom, param.coeff or [1] * len(bottom), strict=True) if c]
        scaled = [x if c == 1 else x * c for x, c in terms] or [torch.zeros_like(first)]
        y = scaled[0]
        for x in scaled[1:]:
            y = y + x
        return [y]
