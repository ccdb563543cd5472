"""Arrays, Datums, BlobProtos and images, and their preparation for a net (pycaffe's caffe.io)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from caffe._data import resize as _resize
from caffe._data.image import open_image, upright
from caffe.proto import caffe_pb2

# ---- BlobProto and Datum -------------------------------------------------------------------------


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> np.ndarray:
    """Return the data (or with return_diff the gradient) of a BlobProto, as float64 in its shape.

    Raises:
        ValueError: the number of values differs from the shape's.
    """
    values = np.array(blob.diff if return_diff else blob.data, np.float64)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return _reshaped(values, (blob.num, blob.channels, blob.height, blob.width))
    return _reshaped(values, tuple(blob.shape.dim))


def _reshaped(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    # NumPy would infer a negative size.
    if any(size < 0 for size in shape) or math.prod(shape) != values.size:
        raise ValueError(f"{values.size} values are not an array of shape {shape}.")
    return values.reshape(shape)


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> caffe_pb2.BlobProto:
    """Return a BlobProto with an array, and with a gradient of the same shape if given."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).ravel())
    if diff is not None:
        blob.diff.extend(diff.astype(float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """A serialized BlobProtoVector of arrays."""
    return caffe_pb2.BlobProtoVector(blobs=map(array_to_blobproto, arraylist)).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """The arrays of a serialized BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> caffe_pb2.Datum:
    """Return a Datum of a (channels, height, width) array, with raw bytes for uint8 and floats otherwise.

    Raises:
        ValueError: the array does not have three axes.
    """
    if arr.ndim != 3:
        raise ValueError(f"Incorrect array shape: a Datum is (channels, height, width), not {arr.shape}.")
    channels, height, width = arr.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width, label=label)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel())
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> np.ndarray:
    """Return the values of a Datum as (channels, height, width): uint8, or float64 for float_data.

    The label is datum.label. As in pycaffe, encoded images are not decoded.

    Raises:
        ValueError: the number of values differs from the sizes.
    """
    # Copy the bytes, because the caller may write into the array.
    values = np.frombuffer(datum.data, np.uint8).copy() if datum.data else np.array(datum.float_data, float)
    return _reshaped(values, (datum.channels, datum.height, datum.width))


# ---- preparing images for a net ------------------------------------------------------------------


class Transformer:
    """Prepares images for input blobs and brings blobs back to images.

    Args:
        inputs: shape (num, channels, height, width) of each input blob by name, such as
            ``{"data": net.blobs["data"].data.shape}``.

    Raises:
        ValueError: a name is no input (every method).
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]):
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise ValueError(f"{in_} is not one of the net inputs: {', '.join(self.inputs)}")
        return tuple(self.inputs[in_])

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Resize, transpose, swap channels, multiply by raw_scale, subtract mean, multiply by input_scale.

        Args:
            in_: name of the input blob.
            data: an image (height, width, channels) of any size and number type; it is not changed.

        Returns:
            float32, (channels, height, width) with the usual transpose (2, 0, 1).
        """
        size = self._shape(in_)[2:]
        x = data.astype(np.float32)
        if x.shape[:2] != size:
            x = resize_image(x, size)
        if self.transpose.get(in_) is not None:
            x = x.transpose(self.transpose[in_])
        if self.channel_swap.get(in_) is not None:
            x = x[list(self.channel_swap[in_])]
        if self.raw_scale.get(in_) is not None:
            x *= self.raw_scale[in_]
        if self.mean.get(in_) is not None:
            x -= self.mean[in_]
        if self.input_scale.get(in_) is not None:
            x *= self.input_scale[in_]
        return x

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Undo preprocess, except for the resizing; axes of length 1 are dropped."""
        self._shape(in_)
        x = data.copy().squeeze()
        if self.input_scale.get(in_) is not None:
            x /= self.input_scale[in_]
        if self.mean.get(in_) is not None:
            x += self.mean[in_]
        if self.raw_scale.get(in_) is not None:
            x /= self.raw_scale[in_]
        if self.channel_swap.get(in_) is not None:
            x = x[np.argsort(self.channel_swap[in_])]
        if self.transpose.get(in_) is not None:
            x = x.transpose(np.argsort(self.transpose[in_]))
        return x

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the axes; (2, 0, 1) turns (height, width, channels) into Caffe's order."""
        if len(order) != len(self._shape(in_)) - 1:
            raise ValueError("Transpose order needs to have the same number of dimensions as the input.")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the channels (the first axis after the transpose); (2, 1, 0) is RGB to BGR."""
        if len(order) != self._shape(in_)[1]:
            raise ValueError("Channel swap needs to have the same number of dimensions as the input channels.")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean; 255 for images from load_image and nets trained on 0 to 255."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """Set the mean to subtract: one number per channel, or a (channels, height, width) mean image.

        A mean image of another size is resized to the input's.
        """
        shape = self._shape(in_)[1:]
        if mean.ndim == 1:
            if len(mean) != shape[0]:
                raise ValueError("Mean channels incompatible with input.")
            mean = mean[:, None, None]
        else:
            full = (1, *mean.shape) if mean.ndim == 2 else mean.shape
            if len(full) != 3:
                raise ValueError(f"Mean shape invalid: {mean.shape}")
            if full != shape:
                low, high = float(mean.min()), float(mean.max())
                unit = ((mean - low) / (high - low)).reshape(full).transpose(1, 2, 0)
                mean = resize_image(unit, shape[1:]).transpose(2, 0, 1) * (high - low) + low
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean."""
        self._shape(in_)
        self.input_scale[in_] = scale


# ---- images --------------------------------------------------------------------------------------

resize = _resize.resize  # scikit-image's, which real pycaffe imports under this name


def load_image(filename: str | Path | BinaryIO, color: bool = True) -> np.ndarray:
    """Read an image file; a JPEG or TIFF is turned by its camera's orientation (see _data/image.py, upright).

    Args:
        filename: a path, or an open file or stream.
        color: True returns RGB; gray files are repeated, and alpha is dropped. False returns one channel of
            luminance (0.2125 R + 0.7154 G + 0.0721 B, scikit-image's weights).

    Returns:
        float32 in [0, 1], (height, width, 3) or (height, width, 1).

    Raises:
        OSError: there is no such file.
        DataError: the file is none of JPEG, PNG, BMP, PPM, TIFF and WEBP, does not decode, or is too large.
    """
    content = filename.read() if hasattr(filename, "read") else Path(filename).read_bytes()
    with open_image(content, str(filename)) as stored:
        image = upright(stored)
        if image.mode in ("1", "L", "I;16"):
            gray = np.asarray(image.convert("L") if image.mode == "1" else image)
            unit = gray.astype(np.float32) / np.float32(np.iinfo(gray.dtype).max)
            return np.repeat(unit[:, :, None], 3 if color else 1, axis=2)
        unit = np.asarray(image.convert("RGB")).astype(np.float32) / np.float32(255)
    return unit if color else unit @ np.array([[0.2125], [0.7154], [0.0721]], np.float32)


def resize_image(im: np.ndarray, new_dims: Sequence[int], interp_order: int = 1) -> np.ndarray:
    """Resize an image as real pycaffe does with scikit-image 0.18 and SciPy.

    Images of 1 or 3 channels are smoothed before they shrink. The outside then counts as the image's lowest
    value. Other images are interpolated from corner to corner.

    Args:
        im: (height, width, channels).
        new_dims: (height, width).
        interp_order: 0 nearest, 1 linear, 3 cubic.

    Returns:
        float32 (height, width, channels).

    Raises:
        ValueError: another interp_order is given.
    """
    return _resize.resize_image(im, (int(new_dims[0]), int(new_dims[1])), interp_order)


def oversample(images: Sequence[np.ndarray], crop_dims: Sequence[int]) -> np.ndarray:
    """Return ten crops of each image: four corners and centre, then the same five mirrored.

    Args:
        images: each (height, width, channels), all of one size.
        crop_dims: (height, width) of the crops.

    Returns:
        float32 (10 * number of images, crop height, crop width, channels).
    """
    height, width, channels = images[0].shape
    rows, columns = crop_dims
    corners = [(top, left) for top in (0, height - rows) for left in (0, width - columns)]
    places = [*corners, (int((height - rows) / 2), int((width - columns) / 2))]
    crops = np.empty((len(images), 2, 5, rows, columns, channels), np.float32)
    for image, of_image in zip(images, crops, strict=True):
        for place, (top, left) in enumerate(places):
            of_image[0, place] = image[top : top + rows, left : left + columns]
        of_image[1] = of_image[0, :, :, ::-1]
    return crops.reshape(-1, rows, columns, channels)
