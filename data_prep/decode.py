"""A JPEG file to the pixels that Caffe's convert_imageset stores: those of OpenCV's imread, planes first."""

import io

import numpy as np
from PIL import Image, ImageOps

from data_prep.errors import BadImage, DataError

CHANNELS = 3
HEIGHT = 64
WIDTH = 64


def decode_jpeg(data: bytes, name: str) -> bytes:
    """The pixels of a 64 x 64 JPEG as bytes of a (3, 64, 64) uint8 array, channels B, G, R.

    Gray is repeated into three channels and CMYK converted, both as imread(IMREAD_COLOR) does. Raises
    ``BadImage`` when the file does not decode, ``DataError`` when the image has another size (nothing is
    decoded then).
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.size != (WIDTH, HEIGHT):
                raise _wrong_size(name, f"{image.width}x{image.height}")
            image.load()
            if "exif" in image.info:
                ImageOps.exif_transpose(image, in_place=True)
            return _planes(image)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _wrong_size(name, "enormous") from error
    except Exception as error:  # a damaged file makes Pillow raise nearly anything: OSError, SyntaxError, IndexError
        raise BadImage(f"{name}: does not decode as JPEG ({error})") from error


def _wrong_size(name: str, size: str) -> DataError:
    return DataError(f"{name}: the image is {size}; every image of Tiny ImageNet is {WIDTH}x{HEIGHT}")


def _planes(image: Image.Image) -> bytes:
    if image.mode == "L":
        return image.tobytes() * CHANNELS
    if image.mode == "CMYK":
        return _cmyk_planes(image)
    return b"".join(image.tobytes("raw", band) for band in "BGR")


def _cmyk_planes(image: Image.Image) -> bytes:
    # Pillow inverts Adobe's inverted CMYK, OpenCV keeps it as stored; then OpenCV's integer formula, channel
    # by channel: k - ((255 - ink) * k >> 8). Pillow's own conversion rounds differently.
    ink = 255 - np.asarray(image, dtype=np.int32)
    black = ink[:, :, 3:]
    rgb = black - ((255 - ink[:, :, :3]) * black >> 8)
    return rgb[:, :, ::-1].transpose(2, 0, 1).astype(np.uint8).tobytes()
