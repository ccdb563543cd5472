"""A data layer's transformation of records: crop, mirror, subtract the mean, scale (data_transformer.cpp)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from caffe._device import random_numbers
from caffe._error import DataError
from caffe._files.blobproto import read_array
from caffe._log import logger
from caffe.proto import caffe_pb2


class Windows(NamedTuple):
    """The windows cut out of a batch's records: whole numbers, one for each record."""

    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray


class DataTransformer:
    """Transforms batches by a TransformationParameter: (crop(x) - mean) * scale, perhaps mirrored.

    The crop's offset is uniform in TRAIN and central in TEST. The mirror is a coin toss in any phase that
    sets it. The mean file has the record's full size and is indexed at the crop's offset.

    Args:
        param: the layer's transform_param.
        training: True if the phase is TRAIN.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, training: bool):
        self.param = param
        self.training = training
        self.random = random_numbers.spawn()
        self.mean: np.ndarray | None = None  # (channels, height, width), or (channels or 1, 1, 1)
        if param.HasField("mean_file") and param.mean_value:
            raise DataError("transform_param: give mean_file or mean_value, not both.")
        if param.HasField("mean_file"):
            logger.info("Loading mean file from: %s", param.mean_file)
            mean = read_array(param.mean_file)
            if mean.ndim == 4 and mean.shape[0] == 1:
                mean = mean[0]
            if mean.ndim != 3:
                raise DataError(f"{param.mean_file}: a mean has the shape of one record, not {mean.shape}.")
            self.mean = mean
        elif param.mean_value:
            self.mean = np.array(param.mean_value, np.float32)[:, None, None]
        self._means: dict[torch.device, torch.Tensor] = {}

    def shape(self, record: tuple[int, int, int]) -> tuple[int, int, int]:
        """Channels, height, width of a transformed record."""
        channels, height, width = record
        crop = self.param.crop_size
        return (channels, crop or height, crop or width)

    def check(self, record: tuple[int, int, int], where: str) -> None:
        """Raise DataError unless records of this size fit crop_size and mean."""
        crop, mean = self.param.crop_size, self.mean
        if min(record) < 1 or crop > min(record[1:]):
            raise DataError(f"{where}: records of size {record} are smaller than crop_size {crop}.")
        if mean is not None:
            per_channel = mean.shape[1:] == (1, 1) and mean.shape[0] in (1, record[0])
            if mean.shape != record and not (per_channel and self.param.mean_value):
                what = self.param.mean_file or "mean_value"
                raise DataError(f"{where}: records of size {record} do not fit {what} of size {mean.shape}.")

    def draw(self, sizes: Sequence[tuple[int, int]]) -> Windows:
        """Draw the windows and mirrors for records of these heights and widths, in Caffe's order."""
        num, crop = len(sizes), self.param.crop_size
        heights, widths = np.array(sizes).T
        # Caffe draws the mirror first, then the offsets.
        flip = self.random.integers(0, 2, num) if self.param.mirror else np.zeros(num, np.int64)
        if not crop:
            return Windows(np.zeros(num, np.int64), np.zeros(num, np.int64), flip)
        if self.training:
            top = self.random.integers(0, heights - crop + 1)
            return Windows(top, self.random.integers(0, widths - crop + 1), flip)
        return Windows((heights - crop) // 2, (widths - crop) // 2, flip)

    def batch(self, images: Sequence[np.ndarray], where: str) -> torch.Tensor:
        """Transform images into one batch; they may differ in size if crop_size makes them one.

        Args:
            images: each (channels, height, width), uint8 or float32.
            where: beginning of the error message.

        Returns:
            float32 (number of images, channels, crop or height, crop or width), on the host.

        Raises:
            DataError: the images differ in size and there is no crop_size.
        """
        shapes = {image.shape for image in images}
        results = {self.shape(shape) for shape in shapes}
        if len(results) > 1:
            sizes = ", ".join(map(str, sorted(shapes)))
            raise DataError(
                f"{where}: records of a batch differ in size ({sizes}): give crop_size in transform_param, "
                "or make them one size"
            )
        shape = (len(images), *results.pop())
        types = {image.dtype for image in images}
        # Cut first, in the images' type, and then compute on all at once.
        values = np.empty(shape, types.pop() if len(types) == 1 else np.float32)
        mean = np.empty(shape, np.float32) if self._mean_is_image else self.mean
        windows = self.draw([image.shape[1:] for image in images])
        rows, columns = shape[2:]
        for index, (image, top, left, flip) in enumerate(zip(images, *windows)):
            place = (slice(None), slice(top, top + rows), slice(left, left + columns))
            way = (index, slice(None), slice(None), slice(None, None, -1 if flip else 1))
            values[way] = image[place]
            if self._mean_is_image:
                mean[way] = self.mean[place]
        return self._arithmetic(torch.from_numpy(values), None if mean is None else torch.from_numpy(mean))

    def on_device(self, records: torch.Tensor) -> torch.Tensor:
        """Transform a batch on its own device; only the draws are sent there.

        Args:
            records: uint8 (num, channels, height, width).

        Returns:
            float32 (num, channels, crop or height, crop or width), on the same device.
        """
        num, channels, height, width = records.shape
        rows, columns = self.shape((channels, height, width))[1:]
        draws = torch.from_numpy(np.stack(self.draw([(height, width)] * num)))
        if records.is_cuda:
            draws = draws.pin_memory()
        top, left, flip = draws.to(records.device, non_blocking=True)[:, :, None]
        across = torch.arange(columns, device=records.device)
        x = torch.where(flip == 1, columns - 1 - across, across) + left
        y = torch.arange(rows, device=records.device) + top
        place = (y[:, :, None] * width + x[:, None, :]).view(num, 1, -1).expand(-1, channels, -1)
        values = records.view(num, channels, -1).gather(2, place).view(num, channels, rows, columns)
        mean = self._mean_on(records.device)
        if mean is not None and self._mean_is_image:
            mean = mean.view(1, channels, -1).expand(num, -1, -1).gather(2, place).view(values.shape)
        return self._arithmetic(values, mean)

    def _arithmetic(self, values: torch.Tensor, mean: torch.Tensor | None) -> torch.Tensor:
        values = values.to(torch.float32)
        if mean is not None:
            values = values.sub_(mean)
        return values.mul_(self.param.scale) if self.param.scale != 1 else values

    @property
    def _mean_is_image(self) -> bool:
        return self.mean is not None and self.mean.shape[1:] != (1, 1)

    def _mean_on(self, device: torch.device) -> torch.Tensor | None:
        if self.mean is None:
            return None
        if device not in self._means:
            self._means[device] = torch.from_numpy(self.mean).to(device)
        return self._means[device]
