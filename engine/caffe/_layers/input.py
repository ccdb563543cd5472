"""Input (Caffe's input_layer.cpp)."""

from caffe._layers.base import Layer, register


@register("Input")
class Input(Layer):
    """Tops that the user fills: ``net.blobs['data'].data[...] = x``."""

    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottom):
        shapes = [tuple(shape.dim) for shape in self.param.input_param.shape]
        tops = len(self.param.top)
        if len(shapes) not in (1, tops):
            raise self.error(f"must specify one shape or one per top, not {len(shapes)} for {tops} tops")
        self.shapes = shapes * tops if len(shapes) == 1 else shapes

    def top_shapes(self, bottom):
        return self.shapes

    def forward(self, bottom, weights):
        # The layer computes nothing, so the tops keep the user's values.
        return []
