"""MemoryData (Caffe's memory_data_layer.cpp)."""

import numpy as np
import torch

from caffe._device import device
from caffe._layers.base import Layer, register
from caffe._log import logger


@register("MemoryData")
class MemoryData(Layer):
    """Batches of the user's arrays from ``net.set_input_arrays``; the end wraps to the start.

    The layer transforms nothing. Tops: data (batch_size, channels, height, width) and labels. As in Caffe,
    labels are (batch_size) until the first forward pass and (batch_size, 1, 1, 1) afterwards.
    """

    bottoms = (0, 0)
    tops = (2, 2)

    def setup(self, bottom):
        param = self.param.memory_data_param
        self.batch_size = param.batch_size
        self.record_shape = (param.channels, param.height, param.width)
        if not (self.batch_size and all(self.record_shape)):
            raise self.error("batch_size, channels, height and width must be specified and positive")
        self._arrays: tuple[np.ndarray, np.ndarray] | None = None
        self._position = 0

    def top_shapes(self, bottom):
        return [(self.batch_size, *self.record_shape), (self.batch_size,)]

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Use these records; the arrays are used as they are, not copied.

        Args:
            data: float32 (num, channels, height, width), num a multiple of batch_size.
            labels: float32 (num, 1, 1, 1).

        Raises:
            NetError: an array is of another type or shape.
        """
        for name, array, shape in (("data array", data, self.record_shape), ("labels array", labels, (1, 1, 1))):
            if not array.flags.c_contiguous or array.dtype != np.float32:
                raise self.error(f"{name} must be C contiguous float32, not {array.dtype}")
            if array.shape[1:] != shape:
                raise self.error(f"{name} must be of shape (num, {', '.join(map(str, shape))}), not {array.shape}")
        if len(data) != len(labels):
            raise self.error("data and labels must have the same first dimension")
        if not len(data) or len(data) % self.batch_size:
            raise self.error(
                f"first dimensions of input arrays ({len(data)}) must be a multiple of batch size {self.batch_size}"
            )
        if self.param.HasField("transform_param"):
            logger.warning("MemoryData does not transform array data on Reset()")
        self._arrays, self._position = (data, labels), 0

    def forward(self, bottom, weights):
        if self._arrays is None:
            raise self.error("has no data yet: call net.set_input_arrays(data, labels) first")
        records = slice(self._position, self._position + self.batch_size)
        self._position = records.stop % len(self._arrays[0])
        # Copy the arrays: writing into a top must not change the user's arrays.
        return [torch.from_numpy(array[records].copy()).to(device.current()) for array in self._arrays]

    def get_state(self):
        return {"position": self._position}

    def set_state(self, state):
        if self._arrays is not None:
            self._position = state["position"] % len(self._arrays[0])
