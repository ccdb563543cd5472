"""Decodes a JPEG file to the pixels that Caffe's convert_imageset stores: OpenCV's imread, planes first.

Two readers give the same pixels. libjpeg-turbo, through simplejpeg, reads an ordinary file in a fifth of
Pillow's time. Pillow reads every file on which libjpeg-turbo reports anything: CMYK, turned and damaged images, other
sizes. It also reads all files if simplejpeg is not installed. Pillow alone thus decides which files are errors.
"""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from data_prep.errors import BadImage
from harness.errors import UserError
from harness.orientation import upright

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

CHANNELS = 3
HEIGHT = 64
WIDTH = 64


def new_scratch() -> np.ndarray:
    """Memory that ``decode_jpeg`` can reuse: uint8 (64, 64, 3).

    Its address is not divisible by 16. At such an address libjpeg-turbo would write past the cache (non-temporal
    stores, jdcolext-avx2.asm). The next reader of the pixels would then wait for memory: a fifth of the whole time.
    """
    memory = np.empty(HEIGHT * WIDTH * CHANNELS + 15, np.uint8)
    start = (8 - memory.ctypes.data) % 16
    return memory[start : start + HEIGHT * WIDTH * CHANNELS].reshape(HEIGHT, WIDTH, CHANNELS)


def decode_jpeg(data: bytes, name: str, scratch: np.ndarray | None = None) -> np.ndarray:
    """The pixels of a 64 x 64 JPEG: uint8 (3, 64, 64), channels B, G, R. They may lie in ``scratch``.

    Gray is repeated into three channels and CMYK converted, both as imread(IMREAD_COLOR) does. Raises
    ``BadImage`` if the file does not decode. Raises ``UserError``, before decoding, if the image has another size.
    """
    pixels = _decode_ordinary(data, scratch)
    return _decode_any(data, name) if pixels is None else pixels


def _decode_ordinary(data: bytes, scratch: np.ndarray | None = None) -> np.ndarray | None:
    # Pillow turns an image according to its Exif orientation.
    if simplejpeg is None or b"Exif\0\0" in data:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != (HEIGHT, WIDTH) or colours not in ("YCbCr", "Gray"):
            return None
        return simplejpeg.decode_jpeg(data, "BGR", buffer=scratch, strict=True).transpose(2, 0, 1)
    except Exception:  # ValueError, also for libjpeg-turbo's warnings; KeyError for odd subsampling
        return None


def _decode_any(data: bytes, name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.size != (WIDTH, HEIGHT):
                raise _wrong_size(name, f"{image.width}x{image.height}")
            image.load()
            return _planes(upright(image))
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _wrong_size(name, "enormous") from error
    except UnidentifiedImageError as error:
        raise BadImage(f"{name}: does not decode as JPEG (no JPEG's beginning)") from error
    except Exception as error:  # a damaged file makes Pillow raise nearly anything: OSError, SyntaxError, IndexError
        raise BadImage(f"{name}: does not decode as JPEG ({error})") from error


def _wrong_size(name: str, size: str) -> UserError:
    return UserError(f"{name}: the image is {size}; every image of Tiny ImageNet is {WIDTH}x{HEIGHT}")


def _planes(image: Image.Image) -> np.ndarray:
    if image.mode == "CMYK":
        return _cmyk_planes(image)
    if image.mode == "L":
        return np.broadcast_to(np.asarray(image), (CHANNELS, HEIGHT, WIDTH))
    return np.asarray(image)[:, :, ::-1].transpose(2, 0, 1)


def _cmyk_planes(image: Image.Image) -> np.ndarray:
    # Pillow inverts Adobe's inverted CMYK, while OpenCV keeps it as stored. The rest is OpenCV's integer formula,
    # channel by channel: k - ((255 - ink) * k >> 8). Pillow's own conversion rounds differently.
    ink = 255 - np.asarray(image, dtype=np.int32)
    black = ink[:, :, 3:]
    rgb = black - ((255 - ink[:, :, :3]) * black >> 8)
    return rgb[:, :, ::-1].transpose(2, 0, 1).astype(np.uint8)
