"""Image files as OpenCV 4 reads and resizes them for Caffe (util/io.cpp's ReadImageToCVMat), byte for byte.

Measured against Debian 11's convert_imageset on JPEG and PNG; other formats are close.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from caffe._error import DataError

_BITS = 11  # of the weights in OpenCV's linear interpolation of bytes


def read_image(path: str | Path, height: int = 0, width: int = 0, color: bool = True) -> np.ndarray:
    """Read an image file.

    Args:
        height, width: the size to resize to; 0 for either leaves the image as it is.
        color: False for one channel of luminance.

    Returns:
        uint8 (height, width, 3), channels B, G, R; (height, width, 1) without color.

    Raises:
        DataError: the file is missing or no image.
    """
    try:
        image = decode_image(Path(path).read_bytes(), color)
    except OSError as error:
        raise DataError(f"Could not open or find file {path}: {error.strerror}") from None
    except DataError as error:
        raise DataError(f"Could not open or find file {path}: {error}") from None
    return resize_linear(image, height, width) if height > 0 and width > 0 else image


def decode_image(content: bytes, color: bool = True) -> np.ndarray:
    """Decode an image as read_image does."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            is_jpeg = image.format == "JPEG"
            if is_jpeg and not color:
                image.draft("L", image.size)  # the luminance that is stored, not one made of colors
            if is_jpeg:
                image = ImageOps.exif_transpose(image)
            pixels = _bgr(image)
            from_png = image.format == "PNG"
    # Pillow raises SyntaxError for a broken PNG chunk.
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError, ValueError) as error:
        raise DataError(f"the image cannot be decoded: {error}") from None
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2) if color else pixels
    return pixels if color else _gray(pixels, from_png)


def _bgr(image: Image.Image) -> np.ndarray:
    """Pixels (height, width, 1 or 3), uint8; alpha is dropped."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)[:, :, None]
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[:, :, None]
    if image.mode == "CMYK":
        # Pillow turns Adobe's inverted inks round; OpenCV takes them as stored.
        ink = 255 - np.asarray(image, np.int32)
        rgb = ink[:, :, 3:] - ((255 - ink[:, :, :3]) * ink[:, :, 3:] >> 8)
        return rgb[:, :, ::-1].astype(np.uint8)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _gray(bgr: np.ndarray, from_png: bool) -> np.ndarray:
    # libpng's weights are cut to 15 bits and its result is cut; OpenCV's have 14 bits and are rounded.
    weights, half, bits = ((3737, 19234, 9797), 0, 15) if from_png else ((1868, 9617, 4899), 1 << 13, 14)
    return ((bgr.astype(np.int32) @ np.array(weights, np.int32) + half) >> bits).astype(np.uint8)[:, :, None]


def resize_linear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """cv::resize with INTER_LINEAR: bytes (height, width, channels) in fixed-point arithmetic."""
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    if (rows, columns) == (2 * height, 2 * width):
        # At half the size OpenCV takes means of four instead.
        blocks = image.astype(np.int32).reshape(height, 2, width, 2, -1)
        return ((blocks.sum(axis=(1, 3)) + 2) >> 2).astype(np.uint8)
    left, part = _places(columns, width)
    outside = (left < 0) | (left >= columns - 1)
    left, part = np.clip(left, 0, columns - 1), np.where(outside, np.float32(0), part)
    before, after = (weight[:, None] for weight in _weights(part))
    wide = image.astype(np.int32)
    lines = wide[:, left] * before + wide[:, np.minimum(left + 1, columns - 1)] * after
    top, part = _places(rows, height)
    above, below = (weight[:, None, None] for weight in _weights(part))
    first, second = (lines[np.clip(row, 0, rows - 1)] >> 4 for row in (top, top + 1))
    total = (first * above >> 16) + (second * below >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _places(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """For each new pixel the old one before its centre, and how far it lies past that one's centre."""
    scale = 1 / (new_length / length)
    centre = ((np.arange(new_length) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(centre).astype(np.int64)
    return before, centre - before.astype(np.float32)


def _weights(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    one = np.float32(1 << _BITS)
    return tuple(np.rint(weight * one).astype(np.int32) for weight in (np.float32(1) - part, part))
