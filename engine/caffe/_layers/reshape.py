"""Layers that reshape a blob (Caffe's flatten_layer.cpp, reshape_layer.cpp, tile_layer.cpp, crop_layer.cpp)."""

import math

from caffe._layers.base import Layer, Precision, Shape, canonical_axis, register


class _SharesMemory(Layer):
    """Base of layers whose top is the bottom in another shape."""

    shares_values = True

    def setup(self, bottom):
        if self.in_place:
            raise self.error("it cannot be computed in place; give its top a name of its own")

    def forward(self, bottom, weights):
        (shape,) = self.top_shapes([tuple(bottom[0].shape)])
        return [bottom[0].reshape(shape)]


@register("Flatten")
class Flatten(_SharesMemory):
    """Merges the axes from ``axis`` to ``end_axis`` into one."""

    precision = Precision.AS_GIVEN

    def top_shapes(self, bottom):
        (shape,) = bottom
        start = canonical_axis(self.param.flatten_param.axis, shape, self)
        end = canonical_axis(self.param.flatten_param.end_axis, shape, self) + 1
        if start > end:
            raise self.error(f"axis {start} must not come after end_axis {end - 1}")
        return [(*shape[:start], math.prod(shape[start:end]), *shape[end:])]


@register("Reshape")
class Reshape(_SharesMemory):
    """Replaces ``num_axes`` axes from ``axis`` on (-1: all that follow) by ``shape``.

    A 0 in it copies the bottom's dimension at that position, and one -1 takes what remains.
    """

    precision = Precision.AS_GIVEN
    shares_gradients = True

    def setup(self, bottom):
        super().setup(bottom)
        self.dims = tuple(self.param.reshape_param.shape.dim)
        if self.dims.count(-1) > 1:
            raise self.error("its shape may have a single -1")
        if self.dims and min(self.dims) < -1:
            raise self.error(f"its shape cannot have a dimension of {min(self.dims)}")

    def top_shapes(self, bottom):
        (shape,) = bottom
        start, end = self._replaced(len(shape))
        dims = list(self.dims)
        for i, dim in enumerate(dims):
            if dim == 0:
                if start + i >= len(shape):
                    raise self.error(f"there is no axis {start + i} in {shape} that a 0 in its shape could copy")
                dims[i] = shape[start + i]
        top = [*shape[:start], *dims, *shape[end:]]
        count = math.prod(shape)
        if -1 in dims:
            known = math.prod(top) * -1
            if known == 0 or count % known:
                raise self.error(f"{count} values of shape {shape} cannot be divided among {known}")
            top[start + dims.index(-1)] = count // known
        if math.prod(top) != count:
            raise self.error(f"shape {tuple(top)} does not hold the {count} values of shape {shape}")
        return [tuple(top)]

    def _replaced(self, axes: int) -> Shape:
        """The first axis that the shape replaces, and the first after it that stays."""
        param = self.param.reshape_param
        start = param.axis if param.axis >= 0 else axes + param.axis + 1
        if not 0 <= start <= axes:
            raise self.error(f"axis {param.axis} is out of range for a blob with {axes} axes")
        if param.num_axes < -1:
            raise self.error(f"num_axes must be 0 or more, or -1 for all, not {param.num_axes}")
        end = axes if param.num_axes == -1 else start + param.num_axes
        if end > axes:
            raise self.error(f"axis {start} and num_axes {param.num_axes} reach beyond a blob with {axes} axes")
        return start, end


@register("Tile")
class Tile(Layer):
    """Repeats the bottom ``tiles`` times along ``axis``."""

    precision = Precision.AS_GIVEN

    def setup(self, bottom):
        if self.param.tile_param.tiles < 1:
            raise self.error("tiles must be 1 or more")

    def top_shapes(self, bottom):
        self.axis = axis = canonical_axis(self.param.tile_param.axis, bottom[0], self)
        return [(*bottom[0][:axis], bottom[0][axis] * self.param.tile_param.tiles, *bottom[0][axis + 1 :])]

    def forward(self, bottom, weights):
        times = [1] * bottom[0].dim()
        times[self.axis] = self.param.tile_param.tiles
        return [bottom[0].repeat(times)]


@register("Crop")
class Crop(Layer):
    """Crops the first bottom to the size of the second, from ``axis`` on, beginning at ``offset``.

    A single offset holds for all these axes; otherwise each has its own. No gradient goes to the second
    bottom.
    """

    precision = Precision.AS_GIVEN

    bottoms = (2, 2)

    def top_shapes(self, bottom):
        data, size = bottom
        start = canonical_axis(self.param.crop_param.axis, data, self)
        cropped = len(data) - start
        given = list(self.param.crop_param.offset)
        if len(given) > 1 and len(given) != cropped:
            raise self.error(f"give one offset or one per cropped axis, not {len(given)} for {cropped} axes")
        if len(size) < len(data):
            raise self.error(f"the size, {size}, must have the axes of the data, {data}")
        offsets = given if len(given) > 1 else (given or [0]) * cropped
        self.windows = [(start + i, offset, size[start + i]) for i, offset in enumerate(offsets)]
        for axis, offset, length in self.windows:
            if offset + length > data[axis]:
                raise self.error(
                    f"axis {axis}: size {length} from offset {offset} does not fit into the data's {data[axis]}"
                )
        return [(*data[:start], *size[start : len(data)])]

    def forward(self, bottom, weights):
        x, _ = bottom
        for axis, offset, length in self.windows:
            x = x.narrow(axis, offset, length)
        return [x]
