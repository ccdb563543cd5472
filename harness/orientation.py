"""A camera's JPEG turned upright, as OpenCV turns it for Caffe. It runs on real pycaffe's Python 3.9 and Pillow 8 too."""

from __future__ import annotations

from contextlib import suppress

from PIL import Image

_ORIENTATION = 0x112  # EXIF's tag
# Pillow's own exif_transpose also obeys XMP, which OpenCV does not, and fails on damaged EXIF.
_TURNS = {
    2: Image.FLIP_LEFT_RIGHT,
    3: Image.ROTATE_180,
    4: Image.FLIP_TOP_BOTTOM,
    5: Image.TRANSPOSE,
    6: Image.ROTATE_270,
    7: Image.TRANSVERSE,
    8: Image.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """An open image, turned as its EXIF orientation says if it is a JPEG."""
    if image.format not in ("JPEG", "MPO") or "exif" not in image.info:
        return image
    exif = Image.Exif()
    with suppress(Exception):
        exif.load(image.info["exif"])
    turn = _TURNS.get(exif.get(_ORIENTATION))
    return image if turn is None else image.transpose(turn)
