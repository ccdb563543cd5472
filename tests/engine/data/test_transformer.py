"""DataTransformer through the Data layer: crop, mirror, mean and scale are exact in float32."""

from collections import Counter

import numpy as np
import pytest
from caffe import TEST, TRAIN, DataError
from caffe.proto import caffe_pb2

from tests.engine.layers.test_data import batch_of, data_layer
from tests.engine.records import datum, positions, write_lmdb

HEIGHT, WIDTH = 7, 10


@pytest.fixture
def image():
    return positions(HEIGHT, WIDTH)


@pytest.fixture
def source(tmp_path, image):
    return write_lmdb(tmp_path / "lmdb", [datum(image)])


def mean_file(tmp_path, mean):
    proto = caffe_pb2.BlobProto(num=1, channels=mean.shape[0], height=mean.shape[1], width=mean.shape[2])
    proto.data.extend(mean.ravel().tolist())
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(proto.SerializeToString())
    return path


def where(window: np.ndarray) -> tuple[int, int, bool]:
    """Row and column of a crop of ``positions``, and whether it is mirrored; asserts it is one."""
    mirrored = bool(window[0, 0, 1] < window[0, 0, 0])
    straight = window[:, :, ::-1] if mirrored else window
    top, left = divmod(int(straight[0, 0, 0]), WIDTH)
    rows, columns = window.shape[1:]
    np.testing.assert_array_equal(straight, positions(HEIGHT, WIDTH)[:, top : top + rows, left : left + columns])
    return top, left, mirrored


@pytest.mark.parametrize("crop, top, left", [(4, 1, 3), (3, 2, 3), (7, 0, 1)])
def test_crop_is_central_in_test(source, crop, top, left):
    data, _ = batch_of(data_layer(source, 2, f"transform_param {{ crop_size: {crop} }}", TEST))
    assert data.shape == (2, 3, crop, crop)
    assert [where(window) for window in data] == [(top, left, False)] * 2


def test_crop_is_uniform_in_train(source):
    """Every offset from 0 to size - crop, each about as often (5 standard deviations)."""
    num = 4000
    data, _ = batch_of(data_layer(source, num, "transform_param { crop_size: 5 }", TRAIN))
    counts = Counter(where(window) for window in data)
    assert set(counts) == {(top, left, False) for top in range(3) for left in range(6)}
    expected = num / 18
    assert max(abs(count - expected) for count in counts.values()) < 5 * np.sqrt(expected)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("crop", [0, 5])
def test_mirror_is_a_coin_toss_in_any_phase(source, phase, crop):
    num = 1000
    data, _ = batch_of(data_layer(source, num, f"transform_param {{ mirror: true crop_size: {crop} }}", phase))
    found = [where(window) for window in data]
    assert abs(sum(mirrored for *_, mirrored in found) - num / 2) < 5 * np.sqrt(num / 4)
    if phase == TRAIN and crop:
        # Mirroring is independent of the offset.
        assert {(left, mirrored) for _, left, mirrored in found} == {(a, b) for a in range(6) for b in (False, True)}


def test_crop_size_0_is_no_crop(source, image):
    data, _ = batch_of(data_layer(source, 1, "transform_param { crop_size: 0 }", TRAIN))
    np.testing.assert_array_equal(data[0], image)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("crop", [0, 4])
def test_mean_file_is_cropped_and_mirrored_along(tmp_path, source, image, phase, crop):
    """With the image plus a constant for its mean, nothing but the constant is left anywhere."""
    path = mean_file(tmp_path, image.astype(np.float32) + 0.5)
    text = f'transform_param {{ mean_file: "{path}" mirror: true scale: 0.25 crop_size: {crop} }}'
    data, _ = batch_of(data_layer(source, 50, text, phase))
    np.testing.assert_array_equal(data, np.full_like(data, -0.125))


def test_mean_file_values(tmp_path, source, image, rng):
    mean = rng.random(image.shape).astype(np.float32) * 100
    data, _ = batch_of(data_layer(source, 1, f'transform_param {{ mean_file: "{mean_file(tmp_path, mean)}" }}'))
    np.testing.assert_array_equal(data[0], image - mean)


@pytest.mark.parametrize("values, per_channel", [([7], [7, 7, 7]), ([1.5, 20, 100], [1.5, 20, 100])])
@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_mean_value_and_scale(source, image, values, per_channel, phase):
    means = " ".join(f"mean_value: {v}" for v in values)
    data, _ = batch_of(data_layer(source, 8, f"transform_param {{ {means} scale: 0.5 mirror: true }}", phase))
    expected = (image - np.array(per_channel, np.float32)[:, None, None]) * np.float32(0.5)
    for window in data:
        flipped = window[0, 0, 0] > window[0, 0, 1]
        np.testing.assert_array_equal(window[:, :, ::-1] if flipped else window, expected)


def test_single_channel_image_with_one_mean(tmp_path):
    image = positions(4, 6, channels=1)
    layer = data_layer(write_lmdb(tmp_path / "l", [datum(image)]), 1, "transform_param { mean_value: 3 }")
    np.testing.assert_array_equal(batch_of(layer)[0][0], image.astype(np.float32) - 3)


def test_crops_do_not_depend_on_other_random_numbers(source):
    from caffe._device import random_numbers

    def crops(disturb: bool):
        random_numbers.set_random_seed(3)
        layer = data_layer(source, 20, "transform_param { crop_size: 3 mirror: true }", TRAIN)
        if disturb:
            random_numbers.host().random(1000)
        return [where(window) for window in batch_of(layer)[0]]

    assert crops(False) == crops(True)


class TestRefused:
    def test_crop_larger_than_the_image(self, source):
        with pytest.raises(DataError, match="smaller than crop_size 8"):
            data_layer(source, 1, "transform_param { crop_size: 8 }")

    def test_mean_file_and_mean_value(self, tmp_path, source, image):
        path = mean_file(tmp_path, image.astype(np.float32))
        with pytest.raises(DataError, match="not both"):
            data_layer(source, 1, f'transform_param {{ mean_file: "{path}" mean_value: 1 }}')

    def test_mean_of_another_size(self, tmp_path, source):
        path = mean_file(tmp_path, np.zeros((3, 10, 7), np.float32))
        with pytest.raises(DataError, match="do not fit"):
            data_layer(source, 1, f'transform_param {{ mean_file: "{path}" }}')

    def test_two_mean_values_for_three_channels(self, source):
        with pytest.raises(DataError, match="do not fit mean_value"):
            data_layer(source, 1, "transform_param { mean_value: 1 mean_value: 2 }")

    def test_missing_and_broken_mean_file(self, tmp_path, source):
        with pytest.raises(RuntimeError, match="gone.binaryproto"):
            data_layer(source, 1, f'transform_param {{ mean_file: "{tmp_path / "gone.binaryproto"}" }}')
        broken = tmp_path / "broken.binaryproto"
        broken.write_bytes(b"\xff\xff\xff\xff")
        with pytest.raises(RuntimeError, match="broken.binaryproto"):
            data_layer(source, 1, f'transform_param {{ mean_file: "{broken}" }}')
