"""SPP, spatial pyramid pooling (Caffe's spp_layer.cpp)."""

import torch

from caffe._layers.base import Layer, register
from caffe._layers.pooling import Pooling
from caffe.proto import caffe_pb2


@register("SPP")
class SPP(Layer):
    """Pools each map into 1, 4, 16, ... bins, one level of the pyramid each, and joins them in one row.

    The top is (num, channels * bins of all levels); with pyramid_height 1 it is (num, channels, 1, 1).
    As in real Caffe on a GPU, STOCHASTIC draws in TEST too, and needs bins that fit without padding.
    """

    def setup(self, bottom):
        if self.param.spp_param.pyramid_height < 1:
            raise self.error("pyramid_height must be 1 or more")

    def top_shapes(self, bottom):
        if len(bottom[0]) != 4:
            raise self.error(f"input must have 4 axes (num, channels, height, width), not {len(bottom[0])}")
        height = self.param.spp_param.pyramid_height
        self._levels = [self._pooling(2**level, bottom[0]) for level in range(height)]
        shapes = [level.top_shapes(bottom)[0] for level in self._levels]
        if height == 1:
            return shapes
        return [(bottom[0][0], sum(channels * rows * columns for _, channels, rows, columns in shapes))]

    def _pooling(self, bins: int, shape: tuple[int, ...]) -> Pooling:
        """The layer that pools a map into bins x bins."""
        param = caffe_pb2.LayerParameter(name=self.name, type="Pooling", bottom=["map"], top=["bins"])
        pooling = param.pooling_param
        pooling.pool = self.param.spp_param.pool
        kernel = [-(-length // bins) for length in shape[2:]]
        pad = [(side * bins - length + 1) // 2 for side, length in zip(kernel, shape[2:], strict=True)]
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise self.error(
                f"maps of {shape[2:]} do not divide into {bins} x {bins} bins: make pyramid_height smaller"
            )
        pooling.kernel_h, pooling.kernel_w = pooling.stride_h, pooling.stride_w = kernel
        pooling.pad_h, pooling.pad_w = pad
        layer = Pooling(param)
        layer.setup([shape])
        return layer

    def forward(self, bottom, weights):
        pooled = [level.forward(bottom, [])[0] for level in self._levels]
        return pooled if len(pooled) == 1 else [torch.cat([maps.flatten(1) for maps in pooled], 1)]
