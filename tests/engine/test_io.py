"""caffe.io: arrays, Datums, images, and preparing them, against loops and values of real pycaffe."""

import math
from io import BytesIO

import numpy as np
import pytest
from caffe import DataError, io
from caffe.proto import caffe_pb2
from PIL import Image


class TestProtos:
    def test_blobproto(self, rng):
        array, diff = rng.normal(size=(2, 1, 2, 3, 4))
        blob = io.array_to_blobproto(array, diff)
        assert list(blob.shape.dim) == [1, 2, 3, 4]
        np.testing.assert_array_equal(io.blobproto_to_array(blob), array.astype(np.float32))
        assert io.blobproto_to_array(blob).dtype == io.blobproto_to_array(blob, return_diff=True).dtype == np.float64
        np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), diff.astype(np.float32))
        assert not io.array_to_blobproto(array).diff

    def test_blobproto_of_four_dimensions(self):
        blob = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
        np.testing.assert_array_equal(io.blobproto_to_array(blob), np.arange(6).reshape(1, 2, 1, 3))
        blob.width = 4
        with pytest.raises(ValueError, match=r"6 values are not an array of shape \(1, 2, 1, 4\)"):
            io.blobproto_to_array(blob)

    @pytest.mark.parametrize("sizes", [(1, 2, 1, -1), (-1, -2, 1, 3), (2**31 - 1, 2**31 - 1, 4, 2)])
    def test_absurd_sizes(self, sizes):
        num, channels, height, width = sizes
        with pytest.raises(ValueError, match="6 values are not an array"):
            io.blobproto_to_array(
                caffe_pb2.BlobProto(num=num, channels=channels, height=height, width=width, data=range(6))
            )
        with pytest.raises(ValueError, match="6 values are not an array"):
            io.datum_to_array(caffe_pb2.Datum(channels=channels, height=height, width=width, data=bytes(6)))

    def test_blobproto_vector(self, rng):
        arrays = [rng.integers(0, 9, shape) for shape in [(2, 3), (4,), ()]]
        found = io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str(arrays))
        for one, other in zip(found, arrays, strict=True):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
    def test_datum(self, dtype):
        array = (np.arange(24) * 10).reshape(2, 3, 4).astype(dtype)
        datum = io.array_to_datum(array, 7)
        assert (datum.channels, datum.height, datum.width, datum.label) == (2, 3, 4, 7)
        assert bool(datum.data) == (dtype == np.uint8) and not datum.encoded
        back = io.datum_to_array(datum)
        assert back.flags.writeable and back.dtype == (np.uint8 if dtype == np.uint8 else float)
        np.testing.assert_array_equal(back, array)
        assert not io.array_to_datum(array).HasField("label")
        assert io.array_to_datum(array, 0).HasField("label")

    def test_datum_has_three_axes(self):
        with pytest.raises(ValueError, match="Incorrect array shape"):
            io.array_to_datum(np.zeros((2, 3), np.uint8))


def formula(channels):
    i, j, c = np.ogrid[:5, :4, :channels]
    return ((i * 7 + j * 5 + c * 3) % 11 / 10 + 1).astype(np.float32)


# formula(k) resized from 5 x 4 to 3 x 6 by Debian 11's pycaffe (scikit-image 0.18.1, SciPy 1.6.0), by order.
REAL = {
    (1, 0): [[1.007607, 1.490219, 1.490219, 1.984785, 1.391306, 1.391306],
             [1.311954, 1.788046, 1.788046, 1.211954, 1.688046, 1.688046],
             [1.597826, 1.004347, 1.004347, 1.498913, 1.981525, 1.981525]],
    (1, 1): [[1.195350, 1.299276, 1.446196, 1.774458, 1.560689, 1.220713],
             [1.259962, 1.550000, 1.692030, 1.307970, 1.450000, 1.573371],
             [1.606583, 1.432065, 1.218297, 1.546559, 1.693479, 1.631946]],
    (2, 0): [[1.0, 1.5, 1.5, 2.0, 2.0, 1.4], [1.3, 1.8, 1.8, 1.2, 1.2, 1.7], [1.6, 1.0, 1.0, 1.5, 1.5, 2.0]],
    (1, 3): [[1.187194, 1.285002, 1.475270, 1.930636, 1.673693, 1.209727],
             [1.246853, 1.605503, 1.740743, 1.259257, 1.456997, 1.632777],
             [1.727625, 1.458530, 1.134986, 1.590352, 1.847221, 1.750158]],
    (2, 3): [[1.0, 1.205920, 1.665920, 2.010080, 1.748480, 1.4], [1.3, 1.632640, 1.731840, 1.268160, 1.367360, 1.7],
             [1.6, 1.251520, 0.989920, 1.334080, 1.794080, 2.0]],
    (2, 1): [[1.0, 1.3, 1.6, 1.9, 1.76, 1.4], [1.3, 1.6, 1.68, 1.32, 1.4, 1.7], [1.6, 1.24, 1.1, 1.4, 1.7, 2.0]],
}  # fmt: skip


class TestResize:
    @pytest.mark.parametrize("channels, order", REAL)
    def test_values_of_real_pycaffe(self, channels, order):
        found = io.resize_image(formula(channels), (3, 6), order)
        assert found.dtype == np.float32 and found.shape == (3, 6, channels)
        np.testing.assert_allclose(found[:, :, 0], REAL[channels, order], atol=1e-6)

    @pytest.mark.parametrize(
        "order, expected",
        [
            (1, [[0, 69, 138, 207, 175, 92], [69, 138, 156, 74, 92, 161], [138, 55, 23, 92, 161, 230]]),
            (3, [[0, 47, 153, 232, 172, 92], [69, 146, 168, 62, 84, 161], [138, 58, 0, 77, 183, 230]]),
        ],
    )
    def test_whole_numbers_of_two_channels_stay_whole(self, order, expected):
        """As SciPy gives them to real pycaffe."""
        i, j, c = np.ogrid[:5, :4, :2]
        image = ((i * 7 + j * 5 + c * 3) % 11 * 23).astype(np.uint8)
        np.testing.assert_array_equal(io.resize_image(image, (3, 6), order)[:, :, 0], expected)

    def test_enlarging_is_bilinear_between_cell_centres(self, rng):
        """Against a loop; tolerance 1e-6 of the range."""
        image = rng.random((4, 5, 3)).astype(np.float32)
        low, high = image.min(), image.max()
        unit = (image - low) / (high - low)

        def at(row, column, channel):
            return unit[row, column, channel] if 0 <= row < 4 and 0 <= column < 5 else 0

        found = io.resize_image(image, (7, 11))
        for r, c, k in np.ndindex(7, 11, 3):
            y, x = (r + 0.5) * 4 / 7 - 0.5, (c + 0.5) * 5 / 11 - 0.5
            top, left = math.floor(y), math.floor(x)
            expected = sum(
                at(top + i, left + j, k) * abs(1 - i - (y - top)) * abs(1 - j - (x - left))
                for i in (0, 1) for j in (0, 1)
            )  # fmt: skip
            assert found[r, c, k] == pytest.approx(expected * (high - low) + low, abs=1e-6)

    def test_same_size_and_constant(self, rng):
        image = rng.random((4, 5, 3)).astype(np.float32)
        np.testing.assert_allclose(io.resize_image(image, (4, 5)), image, atol=1e-6)
        np.testing.assert_array_equal(io.resize_image(np.full((4, 5, 3), 7), (2, 9)), np.full((2, 9, 3), 7))

    @pytest.mark.parametrize("channels", [1, 2])
    def test_cubic_goes_through_the_values(self, rng, channels):
        image = rng.random((4, 5, channels)).astype(np.float32)
        np.testing.assert_allclose(io.resize_image(image, (4, 5), 3), image, atol=1e-6)
        line = io.resize_image(image[:1], (3, 5), 3)
        assert line.shape == (3, 5, channels) and (channels == 1 or np.ptp(line, 0).max() < 1e-6)

    def test_refused(self):
        with pytest.raises(ValueError, match="interp_order 2 is not supported"):
            io.resize_image(np.zeros((2, 3, 1)), (4, 5), 2)
        with pytest.raises(ValueError, match="cannot be resized"):
            io.resize_image(np.zeros((2, 3)), (4, 5))


# scikit-image 0.18.1 resizes the second channel of this from 5 x 4 to 3 x 6.
def small_formula():
    i, j, c = np.ogrid[:5, :4, :2]
    return (i * 7 + j * 5 + c * 3) % 11 / 10


SKIMAGE = [
    ({}, [[0.559721, 0.600181, 0.623974, 0.476388, 0.502174, 0.543961],
          [0.501992, 0.305977, 0.093295, 0.418659, 0.744023, 0.906705],
          [0.622948, 0.547826, 0.456039, 0.539614, 0.449819, 0.376026]]),
    ({"order": 3}, [[0.498011, 0.605163, 0.68936, 0.411018, 0.471988, 0.565356],
                    [0.557598, 0.312227, 0.031021, 0.406204, 0.805029, 0.963192],
                    [0.699619, 0.575715, 0.428857, 0.612625, 0.44254, 0.304853]]),
    ({"mode": "constant", "cval": 0.5}, [[0.529891, 0.598732, 0.624095, 0.474094, 0.501449, 0.555254],
                                         [0.583333, 0.305977, 0.093295, 0.418659, 0.744023, 0.906705],
                                         [0.635568, 0.548189, 0.455314, 0.541788, 0.450906, 0.365337]]),
    ({"mode": "edge", "anti_aliasing": False}, [[0.533333, 0.6, 0.627778, 0.472222, 0.5, 0.566667],
                                                [0.6, 0.3, 0.083333, 0.416667, 0.75, 1.0],
                                                [0.666667, 0.55, 0.455556, 0.544444, 0.45, 0.333333]]),
    ({"mode": "wrap"}, [[0.542994, 0.599457, 0.62325, 0.475664, 0.501449, 0.559904],
                        [0.664674, 0.305977, 0.093295, 0.418659, 0.744023, 0.923371],
                        [0.60767, 0.548551, 0.456763, 0.540339, 0.450543, 0.393417]]),
    ({"mode": "symmetric"}, [[0.53442, 0.599094, 0.625544, 0.472645, 0.501087, 0.567753],
                             [0.6, 0.305977, 0.093295, 0.418659, 0.744023, 0.988046],
                             [0.66558, 0.548913, 0.454469, 0.543358, 0.450906, 0.336231]]),
]  # fmt: skip


class TestScikitImagesResize:
    """caffe.io.resize is skimage.transform.resize in real pycaffe; 2,079 other cases agreed within 1e-5."""

    @pytest.mark.parametrize("options, expected", SKIMAGE, ids=[str(options) for options, _ in SKIMAGE])
    @pytest.mark.parametrize("size", [(3, 6), (3, 6, 2)])
    def test_values_of_scikit_image(self, options, expected, size):
        found = io.resize(small_formula(), size, **options)
        assert found.shape == (3, 6, 2) and found.dtype == np.float64
        np.testing.assert_allclose(found[:, :, 1], expected, atol=1e-6)
        alone = io.resize(small_formula()[:, :, 1].astype(np.float32), (3, 6), **options)
        assert alone.shape == (3, 6) and alone.dtype == np.float32
        np.testing.assert_allclose(alone, expected, atol=1e-6)

    def test_whole_numbers(self):
        image = (small_formula() * 200).astype(np.uint8)
        found = io.resize(image, (3, 2, 2))[:, :, 0]
        np.testing.assert_allclose(found, [[0.260131, 0.443137], [0.423529, 0.352941], [0.334641, 0.51634]], atol=1e-6)
        np.testing.assert_allclose(io.resize(image[:, :, 0], (3, 2), preserve_range=True), found * 255, atol=1e-3)

    def test_refused(self):
        with pytest.raises(ValueError, match="channels stay as they are"):
            io.resize(np.zeros((4, 5, 3)), (3, 4, 2))
        with pytest.raises(ValueError, match="mode 'nearest' is not supported: constant, edge"):
            io.resize(np.zeros((4, 5, 3)), (3, 4), mode="nearest")


class TestTransformer:
    @pytest.fixture
    def transformer(self):
        transformer = io.Transformer({"data": (10, 3, 4, 5)})
        transformer.set_transpose("data", (2, 0, 1))
        transformer.set_channel_swap("data", (2, 1, 0))
        transformer.set_raw_scale("data", 255)
        transformer.set_mean("data", np.array([100.0, 110, 120]))
        transformer.set_input_scale("data", 0.5)
        return transformer

    def test_preprocess(self, transformer, rng):
        image = rng.random((4, 5, 3))
        before = image.copy()
        found = transformer.preprocess("data", image)
        assert found.shape == (3, 4, 5) and found.dtype == np.float32
        for c, i, j in np.ndindex(found.shape):
            assert found[c, i, j] == pytest.approx((image[i, j, 2 - c] * 255 - (100 + 10 * c)) * 0.5, abs=1e-4)
        np.testing.assert_array_equal(image, before)

    def test_float32_image_is_not_changed(self, transformer, rng):
        image = rng.random((4, 5, 3)).astype(np.float32)
        before = image.copy()
        transformer.preprocess("data", image)
        np.testing.assert_array_equal(image, before)

    def test_none_is_no_step(self, transformer, rng):
        """As wrappers with optional arguments set it."""
        transformer.set_raw_scale("data", None)
        transformer.set_input_scale("data", None)
        image = rng.random((4, 5, 3)).astype(np.float32)
        mean = np.array([100.0, 110, 120], np.float32)[:, None, None]
        found = transformer.preprocess("data", image)
        np.testing.assert_allclose(found, image.transpose(2, 0, 1)[::-1] - mean, rtol=1e-6)
        np.testing.assert_allclose(transformer.deprocess("data", found), image, atol=1e-4)

    def test_preprocess_resizes(self, transformer, rng):
        image = rng.random((9, 7, 3)).astype(np.float32)
        expected = transformer.preprocess("data", io.resize_image(image, (4, 5)))
        np.testing.assert_array_equal(transformer.preprocess("data", image), expected)

    def test_deprocess_inverts(self, transformer, rng):
        image = rng.random((4, 5, 3)).astype(np.float32)
        blob = transformer.preprocess("data", image)
        np.testing.assert_allclose(transformer.deprocess("data", blob[None]), image, atol=1e-6)

    def test_mean_images(self, rng):
        transformer = io.Transformer({"data": (10, 3, 4, 5)})
        mean = rng.random((3, 4, 5))
        transformer.set_mean("data", mean)
        np.testing.assert_array_equal(transformer.mean["data"], mean)
        transformer.set_mean("data", rng.random((3, 9, 8)) * 255)
        assert transformer.mean["data"].shape == (3, 4, 5)

    def test_refused(self, transformer):
        with pytest.raises(ValueError, match="dat is not one of the net inputs: data"):
            transformer.preprocess("dat", np.zeros((4, 5, 3)))
        with pytest.raises(ValueError, match="Transpose order"):
            transformer.set_transpose("data", (1, 0))
        with pytest.raises(ValueError, match="Channel swap"):
            transformer.set_channel_swap("data", (1, 0))
        with pytest.raises(ValueError, match="Mean channels incompatible"):
            transformer.set_mean("data", np.zeros(2))
        with pytest.raises(ValueError, match="Mean shape invalid"):
            transformer.set_mean("data", np.zeros((1, 3, 4, 5)))


class TestLoadImage:
    @pytest.fixture
    def rgb(self, rng):
        return rng.integers(0, 256, (4, 6, 3), np.uint8)

    def save(self, tmp_path, pixels):
        Image.fromarray(pixels).save(tmp_path / "image.png")
        return tmp_path / "image.png"

    def test_color(self, tmp_path, rgb):
        found = io.load_image(self.save(tmp_path, rgb))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, rgb / 255, atol=1e-6)

    def test_an_open_file_and_a_stream(self, tmp_path, rgb):
        path = self.save(tmp_path, rgb)
        with path.open("rb") as file:
            for source in (file, BytesIO(path.read_bytes())):
                np.testing.assert_array_equal(io.load_image(source), io.load_image(path))
        with pytest.raises(DataError, match="BytesIO.* cannot be decoded"):
            io.load_image(BytesIO(b"no image"))

    def test_alpha_is_dropped(self, tmp_path, rgb):
        path = self.save(tmp_path, np.dstack([rgb, np.full((4, 6), 9, np.uint8)]))
        np.testing.assert_allclose(io.load_image(path), rgb / 255, atol=1e-6)

    @pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535)])
    def test_gray(self, tmp_path, rng, dtype, top):
        gray = rng.integers(0, top, (4, 6), dtype)
        path = self.save(tmp_path, gray)
        np.testing.assert_allclose(io.load_image(path), np.stack([gray / top] * 3, axis=2), atol=1e-6)
        np.testing.assert_allclose(io.load_image(path, color=False), gray[:, :, None] / top, atol=1e-6)

    def test_color_as_gray(self, tmp_path, rgb):
        found = io.load_image(self.save(tmp_path, rgb), color=False)
        expected = (0.2125 * rgb[:, :, 0] + 0.7154 * rgb[:, :, 1] + 0.0721 * rgb[:, :, 2]) / 255
        np.testing.assert_allclose(found[:, :, 0], expected, atol=1e-6)
        assert found.shape == (4, 6, 1)


def test_oversample(rng):
    images = rng.random((2, 6, 9, 3)).astype(np.float32)
    crops = io.oversample(images, (3, 4))
    assert crops.shape == (20, 3, 4, 3) and crops.dtype == np.float32
    # The corners row by row, then the centre: (6 - 3) // 2 and (9 - 4) // 2.
    for n, (top, left) in enumerate([(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)]):
        for image in range(2):
            crop = images[image, top : top + 3, left : left + 4]
            np.testing.assert_array_equal(crops[10 * image + n], crop)
            np.testing.assert_array_equal(crops[10 * image + 5 + n], crop[:, ::-1])
