"""Image files and bilinear resizing with the bytes of Caffe's OpenCV 4 (ReadImageToCVMat of util/io.cpp).

resize gives OpenCV's bytes, because both compute INTER_LINEAR on bytes in whole numbers. PNG, BMP and
JPEG decode to OpenCV's bytes, JPEG only if Pillow's and OpenCV's libjpeg decode alike. A PNG's gamma is
ignored. upright turns images as their camera recorded.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from caffe._error import DataError
from caffe._files.read_file import IMAGE, read_file

FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP")
"""The only Pillow decoders in use, for OpenCV's common training formats. Fewer decoders mean fewer security holes."""
MOST_PIXELS = 89_478_485
"""The most pixels of an image, 0.27 GB in color; Pillow warns beyond it. A small file can claim far more."""

_ORIENTATION = 0x112  # EXIF's tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UNIT = 2048  # Resize weights are whole multiples of 1 / _UNIT.


def read_image(path: str | Path, color: bool = True, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image file as (height, width, channels), uint8: 3 channels BGR, or 1 gray.

    Args:
        path: a file that Pillow reads. A camera's orientation is applied (see :func:`upright`).
        size: (height, width) to resize to, or None to keep the size.

    Raises:
        DataError: the file is missing or does not decode.
    """
    begin = "Could not open or find file"
    pixels = decode_image(read_file(path, IMAGE, DataError, begin), f"{begin} {path}", color)
    return pixels if size is None else resize(pixels, *size)


@contextmanager
def open_image(content: bytes, where: str) -> Iterator[Image.Image]:
    """Open an image file's content in Pillow, if its format and size may be decoded.

    Raises:
        DataError: the format or size is refused, or the image proves to be cut or damaged while it is used.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are more than {MOST_PIXELS:,}")
            yield image
    except UnidentifiedImageError:
        raise DataError(f"{where}: the image cannot be decoded: it is none of {', '.join(FORMATS)}.") from None
    # A damaged file makes Pillow raise nearly anything: OSError, SyntaxError, IndexError, struct.error.
    except Exception as error:
        raise DataError(f"{where}: the image cannot be decoded: {error}.") from None


def upright(image: Image.Image) -> Image.Image:
    """Turn an open image by its EXIF orientation, for all of Caffe's readers of image files.

    Real Caffe's readers (Debian 11: OpenCV 4.5, scikit-image 0.18) agree on three formats. They turn a JPEG in all
    eight orientations. They turn neither a PNG nor a WebP, and read no orientation in XMP. On TIFF they differ:
    OpenCV turns it and caffe.io.load_image does not. Here all readers turn it, because Pillow already does.
    Real Caffe turns a Datum's encoded JPEG only with force_color or force_gray; here it is always turned.
    """
    # Pillow calls a camera's JPEG with several pictures "MPO".
    if image.format not in ("JPEG", "MPO") or "exif" not in image.info:
        return image
    # Pillow's exif_transpose also obeys XMP, and fails on damaged EXIF.
    exif = Image.Exif()
    with suppress(Exception):
        exif.load(image.info["exif"])
    turn = _TURNS.get(exif.get(_ORIENTATION))
    return image if turn is None else image.transpose(turn)


def decode_image(content: bytes, where: str, color: bool | None = True) -> np.ndarray:
    """Decode an image file's content, as :func:`read_image` returns it.

    Args:
        where: the image's name, for errors.
        color: None keeps the image's channels, so gray stays gray.

    Raises:
        DataError: the image does not decode.
    """
    with open_image(content, where) as image:
        is_png = image.format == "PNG"
        if color is False and not is_png:
            image.draft("L", image.size)  # a JPEG's stored luminance, not one computed from colors
        pixels = _bgr(upright(image))
    if pixels.shape[2] == 1:
        return pixels.repeat(3, axis=2) if color else pixels
    return _gray(pixels, is_png) if color is False else pixels


def _bgr(image: Image.Image) -> np.ndarray:
    """Pixels as uint8 (height, width, 1 or 3); 16 bits keep the upper 8, and alpha is dropped."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)[:, :, None]
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[:, :, None]
    if image.mode == "CMYK":
        # Pillow inverts Adobe's inverted inks; OpenCV uses them as stored.
        ink = 255 - np.asarray(image, np.int32)
        rgb = ink[:, :, 3:] - ((255 - ink[:, :, :3]) * ink[:, :, 3:] >> 8)
        return rgb[:, :, ::-1].astype(np.uint8)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _gray(bgr: np.ndarray, from_png: bool) -> np.ndarray:
    # libpng's weights and result are truncated, with 15 bits. OpenCV's have 14 bits and are rounded.
    weights, half, bits = ((3737, 19234, 9797), 0, 15) if from_png else ((1868, 9617, 4899), 1 << 13, 14)
    return ((bgr.astype(np.int32) @ np.array(weights, np.int32) + half) >> bits).astype(np.uint8)[:, :, None]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image (rows, columns, channels) of bytes as cv::resize does with INTER_LINEAR.

    Returns:
        uint8 (height, width, channels). If both sides are halved, each pixel is the mean of four.
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    if (rows, columns) == (2 * height, 2 * width):
        quarters = image.reshape(height, 2, width, 2, -1).astype(np.int32)
        return ((quarters.sum((1, 3)) + 2) >> 2).astype(np.uint8)
    left, part = _places(columns, width)
    # Across, the border's pixel stands in for pixels beyond it; down, weights stay and rows repeat.
    part = np.where((left < 0) | (left >= columns - 1), np.float32(0), part)
    left = left.clip(0, columns - 1)
    top, down = _places(rows, height)
    near, far = _weights(part)
    upper, lower = _weights(down)

    def line(index: np.ndarray) -> np.ndarray:
        chosen = image[index.clip(0, rows - 1)].astype(np.int32)
        right = (left + 1).clip(max=columns - 1)
        return (chosen[:, left] * near[:, None] + chosen[:, right] * far[:, None]) >> 4

    above = (upper[:, None, None] * line(top)) >> 16
    below = (lower[:, None, None] * line(top + 1)) >> 16
    return ((above + below + 2) >> 2).astype(np.uint8)


def _places(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each new pixel, the old pixel before its centre and the distance between their centres."""
    scale = 1 / (new_length / length)
    place = ((np.arange(new_length) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(place)
    return before.astype(np.int64), place - before


def _weights(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.rint(weight * np.float32(_UNIT)).astype(np.int32) for weight in (np.float32(1) - part, part))
