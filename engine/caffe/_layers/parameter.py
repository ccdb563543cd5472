"""Parameter: a learned array as a blob (Caffe's parameter_layer.hpp)."""

from caffe._layers.base import Layer, register
from caffe.proto import caffe_pb2


@register("Parameter")
class Parameter(Layer):
    """Outputs its parameter as the top.

    Parameters (blobs): an array of parameter_param's shape, with zeros at the start.
    """

    bottoms = (0, 0)

    def setup(self, bottom):
        self.shape = tuple(self.param.parameter_param.shape.dim)
        if any(d < 0 for d in self.shape):
            raise self.error(f"shape {self.shape} has a negative dimension")
        self.add_blob(0, self.shape, caffe_pb2.FillerParameter())

    def top_shapes(self, bottom):
        return [self.shape]

    def forward(self, bottom, weights):
        return [weights[0].view_as(weights[0])]
