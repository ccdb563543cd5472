"""What a data layer does to records: crop, mirror, subtract the mean, scale (data_transformer.cpp)."""

import numpy as np
import torch

from caffe import _rng
from caffe._blobproto import read_file, to_array
from caffe._error import DataError
from caffe._log import logger
from caffe.proto import caffe_pb2


class DataTransformer:
    """Transforms batches by a TransformationParameter: (crop(x) - mean) * scale, perhaps mirrored.

    In TRAIN the crop's offset is uniform, in TEST central; the mirror is a coin toss in any phase
    that sets it. The mean file has the record's full size and is indexed at the crop's offset.

    Args:
        param: the layer's transform_param.
        training: whether the phase is TRAIN.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, training: bool):
        self.param = param
        self.training = training
        self.random = _rng.spawn()
        self.mean: np.ndarray | None = None  # (channels, height, width), or (channels or 1, 1, 1)
        if param.HasField("mean_file") and param.mean_value:
            raise DataError("transform_param: give mean_file or mean_value, not both.")
        if param.HasField("mean_file"):
            logger.info("Loading mean file from: %s", param.mean_file)
            mean = to_array(read_file(param.mean_file, "BlobProto"), param.mean_file)
            if mean.ndim == 4 and mean.shape[0] == 1:
                mean = mean[0]
            if mean.ndim != 3:
                raise DataError(f"{param.mean_file}: a mean has the shape of one record, not {mean.shape}.")
            self.mean = mean
        elif param.mean_value:
            self.mean = np.array(param.mean_value, np.float32)[:, None, None]
        self._mean_on: dict[torch.device, torch.Tensor] = {}

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

    def batch(self, images: list[np.ndarray], device: torch.device, where: str) -> torch.Tensor:
        """Transform images into one batch; they may differ in size where crop_size makes them one.

        Args:
            images: each (channels, height, width), uint8 or float32.
            where: begins the error message.

        Returns:
            float32 (number of images, channels, height, width).

        Raises:
            DataError: they differ in size and there is no crop_size.
        """
        shapes = {image.shape for image in images}
        if len({self.shape(shape) for shape in shapes}) > 1:
            sizes = ", ".join(map(str, sorted(shapes)))
            raise DataError(
                f"{where}: records of a batch differ in size ({sizes}): give crop_size in transform_param, "
                "or make them one size"
            )
        if len({(image.shape, image.dtype) for image in images}) == 1:
            return self(torch.from_numpy(np.stack(images)), device)
        return torch.cat([self(torch.from_numpy(np.stack([image])), device) for image in images])

    def __call__(self, records: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Transform a batch.

        Args:
            records: (num, channels, height, width), uint8 or float32.
            device: where to compute and to return it.

        Returns:
            float32 (num, channels, crop or height, crop or width).
        """
        num, channels, height, width = records.shape
        crop = self.param.crop_size
        rows, columns = crop or height, crop or width
        # Drawn in Caffe's order of events: mirror, then the offsets.
        flip = self.random.integers(0, 2, num) if self.param.mirror else np.zeros(num, np.int64)
        if crop and self.training:
            top = self.random.integers(0, height - crop + 1, num)
            left = self.random.integers(0, width - crop + 1, num)
        else:
            top = np.full(num, (height - rows) // 2)
            left = np.full(num, (width - columns) // 2)
        records = records.to(device)
        mean = self._mean(device, (channels, height, width))
        if flip.any() or np.ptp(top) or np.ptp(left):
            across = np.arange(columns)
            x = np.where(flip[:, None] == 1, columns - 1 - across, across) + left[:, None]
            y = np.arange(rows) + top[:, None]
            place = torch.from_numpy(y[:, :, None] * width + x[:, None, :]).view(num, 1, -1).to(device)
            place = place.expand(-1, channels, -1)
            values = records.view(num, channels, -1).gather(2, place).to(torch.float32)
            if mean is not None:
                flat = mean.reshape(1, channels, -1).expand(num, -1, -1)
                values -= flat.gather(2, place) if flat.shape[2] > 1 else flat
            values = values.view(num, channels, rows, columns)
        else:
            window = (..., slice(top[0], top[0] + rows), slice(left[0], left[0] + columns))
            values = records[window].to(torch.float32, copy=True)
            if mean is not None:
                values -= mean[window] if mean.shape[1:] != (1, 1) else mean
        return values.mul_(self.param.scale) if self.param.scale != 1 else values

    def _mean(self, device: torch.device, record: tuple[int, int, int]) -> torch.Tensor | None:
        if self.mean is None:
            return None
        if device not in self._mean_on:
            mean = torch.from_numpy(self.mean).to(device)
            self._mean_on[device] = mean.expand(record[0], -1, -1)
        return self._mean_on[device]
