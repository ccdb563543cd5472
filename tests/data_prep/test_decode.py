"""A JPEG's pixels are those that convert_imageset stores, by whichever library reads them."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from data_prep import decode
from data_prep.decode import decode_jpeg, new_scratch
from data_prep.errors import BadImage
from harness.errors import UserError
from tests.data_prep.small_tiny_imagenet import jpeg


def test_pure_colours_land_in_their_planes():
    for channel, colour in enumerate([(0, 0, 255), (0, 255, 0), (255, 0, 0)]):
        file = io.BytesIO()
        Image.new("RGB", (64, 64), colour).save(file, "JPEG", quality=95)
        planes = decode_jpeg(file.getvalue(), "x").reshape(3, -1)
        assert planes[channel].min() > 250 and np.delete(planes, channel, axis=0).max() < 5


def test_gray_and_cmyk():
    gray = decode_jpeg(jpeg(5, mode="L"), "x").reshape(3, -1)
    assert np.array_equal(gray[0], gray[1]) and np.array_equal(gray[1], gray[2]) and gray.std() > 10
    file = io.BytesIO()
    # Pillow stores CMYK inverted, so OpenCV reads 255 - (40, 90, 140, 60).
    # Each ink gives k - ((255 - ink) * k >> 8).
    Image.new("CMYK", (64, 64), (40, 90, 140, 60)).save(file, "JPEG", quality=100, subsampling=0)
    planes = decode_jpeg(file.getvalue(), "x").reshape(3, -1)
    expected = [195 - (140 * 195 >> 8), 195 - (90 * 195 >> 8), 195 - (40 * 195 >> 8)]
    assert np.abs(planes - np.array(expected)[:, None]).max() <= 2


def test_a_turned_image_is_stood_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (64, 64))
    picture.paste((255, 255, 255), (0, 0, 64, 20))
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    planes = decode_jpeg(file.getvalue(), "x")
    # imread turns it a quarter clockwise: the white top becomes the right side.
    assert planes[:, :, 50:].min() > 200 and planes[:, :, :40].max() < 50


def test_an_orientation_in_xmp_does_not_count():
    """As for OpenCV. Pillow's own way obeys it where EXIF has none."""
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    exif = Image.Exif()
    exif[0x0131] = "some software"
    without, file = io.BytesIO(), io.BytesIO()
    picture = Image.open(io.BytesIO(jpeg(5)))
    picture.save(without, "JPEG")
    picture.save(file, "JPEG", exif=exif, xmp=xmp)
    assert np.array_equal(decode_jpeg(file.getvalue(), "x"), decode_jpeg(without.getvalue(), "x"))


def outcome(file: bytes) -> bytes | tuple[type, str]:
    try:
        return decode_jpeg(file, "x").tobytes()
    except UserError as error:
        return type(error), str(error)


def odd_files() -> Iterator[bytes]:
    """JPEG files of every kind that a camera, a tool or a broken disk makes."""
    turned = Image.Exif()
    turned[0x0112] = 3
    colour = Image.frombytes("RGB", (7, 5), bytes(range(100, 205))).resize((64, 64), Image.BICUBIC)
    for options in (
        *({"subsampling": kind, "quality": quality} for kind in range(3) for quality in (5, 75, 100)),
        {"progressive": True}, {"restart_marker_blocks": 3}, {"exif": turned}, {"keep_rgb": True}, {"comment": b"Exif"},
    ):  # fmt: skip
        file = io.BytesIO()
        colour.save(file, "JPEG", **options)
        yield file.getvalue()
    yield from (jpeg(1, size) for size in ((64, 63), (32, 128), (1, 1), (128, 128)))
    yield from (jpeg(2, mode="L"), jpeg(3, mode="CMYK"), jpeg(4) + b"more", b"more" + jpeg(5))
    for factors in (0x12, 0x14, 0x24, 0x31, 0x41, 0x42, 0x44):  # the first component's, in the frame header
        odd = bytearray(jpeg(6))
        odd[odd.index(b"\xff\xc0") + 11] = factors
        yield bytes(odd)
    random = np.random.default_rng(6)
    for whole in (jpeg(7), jpeg(8, mode="L"), file.getvalue()):
        for _ in range(200):
            broken = bytearray(whole)
            broken[random.integers(len(whole))] = random.integers(256)
            yield bytes(broken)


def test_both_readers_of_jpeg_agree_on_every_file(monkeypatch):
    together = [outcome(file) for file in odd_files()]
    fast = sum(decode._decode_ordinary(file) is not None for file in odd_files())
    assert 100 < fast < len(together) - 100
    monkeypatch.setattr(decode, "simplejpeg", None)
    assert [outcome(file) for file in odd_files()] == together


def test_memory_used_again_takes_the_next_image():
    scratch = new_scratch()
    assert scratch.ctypes.data % 16 == 8
    first = decode_jpeg(jpeg(1), "x", scratch)
    assert np.shares_memory(first, scratch)
    assert np.array_equal(first, decode_jpeg(jpeg(1), "x"))
    assert np.array_equal(decode_jpeg(jpeg(2), "x", scratch), decode_jpeg(jpeg(2), "x"))
    assert np.array_equal(decode_jpeg(jpeg(3, mode="CMYK"), "x", scratch), decode_jpeg(jpeg(3, mode="CMYK"), "x"))


def test_wrong_size_is_an_error_without_decoding():
    with pytest.raises(UserError, match="name.JPEG: the image is 65x64") as error:
        decode_jpeg(jpeg(1, (65, 64)), "name.JPEG")
    assert not isinstance(error.value, BadImage)
    huge = bytearray(jpeg(1))
    start = huge.index(b"\xff\xc0")
    huge[start + 5 : start + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(UserError, match=r"name.JPEG: the image is (65535x65535|enormous)"):
        decode_jpeg(bytes(huge), "name.JPEG")


@pytest.mark.parametrize(
    "damage", [lambda file: file[:300], lambda file: file[:-30], lambda file: b"", lambda file: b"P6 64 64"]
)
def test_damaged_files_are_bad_images(damage):
    with pytest.raises(BadImage, match="name.JPEG: does not decode"):
        decode_jpeg(damage(jpeg(1)), "name.JPEG")
