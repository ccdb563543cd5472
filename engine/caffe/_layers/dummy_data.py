"""DummyData (Caffe's dummy_data_layer.cpp)."""

from caffe._layers.base import BlobLayer, Shape, register
from caffe.proto import caffe_pb2


@register("DummyData")
class DummyData(BlobLayer):
    """Tops filled by fillers.

    Constants are filled once, when the net is made, so that the user may overwrite them. Others are filled
    again in each forward pass. Without a filler tops are zeros. The layer fills blobs in place, because a
    constant top must keep the user's values.
    """

    bottoms = (0, 0)
    tops = (1, None)

    def setup_blobs(self, bottom, top):
        fillers = list(self.param.dummy_data_param.data_filler) or [caffe_pb2.FillerParameter(type="constant")]
        if len(fillers) not in (1, len(top)):
            raise self.error(f"number of data fillers must be 0, 1 or the number of tops: {len(top)}")
        self.fillers = fillers * len(top) if len(fillers) == 1 else fillers
        for blob, shape, filler in zip(top, self._shapes(len(top)), self.fillers, strict=True):
            self.reshape(blob, shape)
            if filler.type == "constant":
                self.fill(blob, filler)

    def _shapes(self, tops: int) -> list[Shape]:
        param = self.param.dummy_data_param
        names = ("num", "channels", "height", "width")
        if not any(len(getattr(param, name)) for name in names):
            return [tuple(shape.dim) for shape in self._each("shape", param.shape, tops)]
        if param.shape:
            raise self.error("both shape and the older num, channels, height, width were specified")
        return list(zip(*(self._each(name, getattr(param, name), tops) for name in names), strict=True))

    def _each(self, name: str, values, tops: int) -> list:
        if len(values) not in (1, tops):
            raise self.error(f"must specify '{name}' once, or once per top blob ({tops}); specified {len(values)}")
        return list(values) * tops if len(values) == 1 else list(values)

    def reshape_blobs(self, bottom, top):
        """Do nothing: tops keep their shape."""

    def forward_blobs(self, bottom, top):
        for blob, filler in zip(top, self.fillers, strict=True):
            if filler.type != "constant":
                self.fill(blob, filler)

    def backward_blobs(self, top, propagate_down, bottom):
        """Do nothing: there is nothing below."""
