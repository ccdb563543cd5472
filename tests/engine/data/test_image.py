"""Images from files as OpenCV reads them, and its bilinear resize; real Caffe's bytes are in tests/conformance."""

import struct
import zlib

import numpy as np
import pytest
from caffe import DataError, io
from caffe._data import image as _image
from PIL import Image


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_color_is_bgr_and_gray_weighs_it(tmp_path, rng):
    rgb = rng.integers(0, 256, (5, 7, 3), np.uint8)
    path = save(tmp_path / "x.png", rgb)
    np.testing.assert_array_equal(_image.read_image(path), rgb[:, :, ::-1])
    gray = _image.read_image(path, color=False)
    assert gray.shape == (5, 7, 1) and gray.dtype == np.uint8
    np.testing.assert_allclose(gray[:, :, 0], rgb @ [0.299, 0.587, 0.114], atol=1)


def test_gray_file(tmp_path, rng):
    pixels = rng.integers(0, 256, (5, 7), np.uint8)
    path = save(tmp_path / "x.png", pixels)
    np.testing.assert_array_equal(_image.read_image(path, color=False)[:, :, 0], pixels)
    np.testing.assert_array_equal(_image.read_image(path), np.stack([pixels] * 3, 2))


def test_upper_8_of_16_bits(tmp_path):
    path = save(tmp_path / "x.png", np.array([[0x0180, 0xFF7F]], np.uint16))
    np.testing.assert_array_equal(_image.read_image(path, color=False).ravel(), [1, 255])


TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
    9: lambda a: a,  # no such orientation
}
READERS = {
    "read_image": _image.read_image,
    "read_image, gray": lambda path: _image.read_image(path, color=False),
    "any channels": lambda path: _image.decode_image(path.read_bytes(), "here", None),
    "load_image": io.load_image,
    "load_image, gray": lambda path: io.load_image(path, color=False),
}


MODES = {
    "JPEG": "L RGB CMYK",
    "MPO": "L RGB",
    "TIFF": "1 L RGB RGBA CMYK",
    "PNG": "1 L LA RGB RGBA",
    "WEBP": "RGB RGBA",
}


def photo(mode: str) -> Image.Image:
    """A picture of 24 x 40 without any symmetry."""
    row, column = np.mgrid[:24, :40]
    rgb = np.stack([row * 5, column * 4, 255 - 2 * row - 2 * column], 2).astype(np.uint8)
    return Image.fromarray(rgb).convert(mode)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("kind, mode", [(kind, mode) for kind, modes in MODES.items() for mode in modes.split()])
def test_orientation_of_a_camera(tmp_path, kind, mode, reader):
    """Real Caffe on Debian 11 turns these and no others; of a TIFF its readers differ (see _image.upright)."""
    options = {"save_all": True, "append_images": [Image.new(mode, (40, 24))]} if kind == "MPO" else {}
    options |= {"lossless": True} if kind == "WEBP" else {}
    photo(mode).save(tmp_path / "stored", kind, **options)
    stored = reader(tmp_path / "stored")
    for orientation in range(1, 9) if kind == "TIFF" else range(1, 10):
        tags = {"tiffinfo": {0x112: orientation}} if kind == "TIFF" else {"exif": exif_of(orientation).tobytes()}
        photo(mode).save(tmp_path / "held", kind, **options, **tags)
        want = TURNED[orientation](stored) if kind in ("JPEG", "MPO", "TIFF") else stored
        np.testing.assert_array_equal(reader(tmp_path / "held"), want, err_msg=str(orientation))


XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "exif", [b"", exif_of(1).tobytes()[:10], b"Exif\0\0XX*\0no tiff at all", b"Exif\0\0II", Image.Exif().tobytes()],
    ids=["none", "cut", "no TIFF", "short", "empty"],
)  # fmt: skip
def test_no_orientation_from_xmp_or_from_damaged_exif(tmp_path, exif, reader):
    """Real Caffe's readers show such a JPEG as it is stored. With a density in it Pillow reads the EXIF late."""
    photo("RGB").save(tmp_path / "x.jpg", dpi=(72, 72), exif=exif, xmp=XMP)
    photo("RGB").save(tmp_path / "stored.jpg")
    np.testing.assert_array_equal(reader(tmp_path / "x.jpg"), reader(tmp_path / "stored.jpg"))


class TestResize:
    @pytest.mark.parametrize("size", [(9, 12), (5, 4), (21, 25), (13, 5), (1, 1), (4, 6)])
    def test_bilinear(self, rng, size):
        """Within one level of the formula in float64 (two of rounding at worst)."""
        image = rng.integers(0, 256, (9, 12, 3), np.uint8)
        result = _image.resize(image, *size)
        assert result.shape == (*size, 3) and result.dtype == np.uint8
        for y, x in np.ndindex(size):
            place = [(i + 0.5) * n / m - 0.5 for i, n, m in zip((y, x), (9, 12), size, strict=True)]
            low = [int(np.floor(p)) for p in place]
            want = np.zeros(3)
            for dy, dx in np.ndindex(2, 2):
                weight = abs(1 - dy - (place[0] - low[0])) * abs(1 - dx - (place[1] - low[1]))
                want += weight * image[np.clip(low[0] + dy, 0, 8), np.clip(low[1] + dx, 0, 11)]
            assert abs(result[y, x] - want).max() <= 1, (y, x)

    def test_half_is_the_mean_of_four(self):
        image = np.array([[1, 2, 9, 0], [2, 2, 0, 0]], np.uint8)[:, :, None]
        assert _image.resize(image, 1, 2).ravel().tolist() == [2, 2]

    def test_same_size_and_constant(self, rng):
        image = rng.integers(0, 256, (4, 3, 1), np.uint8)
        np.testing.assert_array_equal(_image.resize(image, 4, 3), image)
        assert (_image.resize(np.full((4, 3, 1), 200, np.uint8), 7, 5) == 200).all()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match="x: the image cannot be decoded"):
        _image.read_image(tmp_path / "x")
    with pytest.raises(DataError, match="Could not open or find file .*gone"):
        _image.read_image(tmp_path / "gone")


def png_that_says(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header has this size and whose data does not."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("width, height", [(9500, 9500), (13_000, 13_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_more_pixels_than_are_decoded(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(png_that_says(width, height))
    with pytest.raises(DataError, match="bomb.png: the image cannot be decoded"):
        _image.read_image(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="bomb.png: the image cannot be decoded"):
        io.load_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("kind", ["GIF", "ICO", "PCX", "TGA", "SGI", "EPS", "PDF", "JPEG2000", "DDS", "ICNS"])
def test_formats_that_are_not_read(tmp_path, kind):
    path = tmp_path / "image.png"  # the name says nothing
    Image.new("RGB", (64, 64)).save(path, kind)
    for read in (_image.read_image, io.load_image):
        with pytest.raises(DataError, match="image.png: the image cannot be decoded: it is none of JPEG, PNG"):
            read(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_formats_that_are_read(tmp_path, kind):
    smooth = np.add.outer(np.arange(0, 90, 3), np.arange(0, 80, 2))[..., None] + np.array([0, 40, 80])
    pixels = smooth.astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image", kind)
    found = _image.read_image(tmp_path / "image")
    np.testing.assert_allclose(found[:, :, ::-1].astype(int), pixels, atol=8)
    np.testing.assert_allclose(io.load_image(tmp_path / "image"), pixels / 255, atol=8 / 255)
