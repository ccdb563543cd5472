"""Detector: windows and their context, against pixels counted by hand."""

import numpy as np
import pytest
from caffe import CaffeError, Detector, NetError, io
from PIL import Image

from tests.engine.build import input_layer, make_net

NET = input_layer(data=(2, 3, 8, 8)) + 'layer { name: "f" type: "Flatten" bottom: "data" top: "f" }'
MEAN = np.array([10, 20, 30])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    make_net(NET).save(tmp_path / "net.caffemodel")
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


@pytest.fixture
def photo(tmp_path, rng):
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(path)
    return str(path)


def test_windows_in_order(files, photo, tmp_path):
    """Each window is warped to the input; windows of the same image or of others, arrays or tuples."""
    other = str(tmp_path / "other.png")
    Image.new("RGB", (12, 9), (255, 0, 51)).save(other)
    detector = Detector(*files, mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0))
    windows = [(photo, [(2, 3, 10, 11), np.array([0, 0, 20, 30])]), (other, [[1, 1, 9, 9]])]
    found = detector.detect_windows(iter(windows))
    assert [f["filename"] for f in found] == [photo, photo, other]
    assert [list(f["window"]) for f in found] == [[2, 3, 10, 11], [0, 0, 20, 30], [1, 1, 9, 9]]
    image = io.load_image(photo)
    crops = [image[2:10, 3:11], io.resize_image(image, (8, 8)), io.load_image(other)[1:9, 1:9]]
    for one, crop in zip(found, crops, strict=True):
        blob = np.moveaxis(crop, 2, 0)[[2, 1, 0]] * 255 - MEAN[:, None, None]
        np.testing.assert_allclose(one["prediction"], blob.ravel(), rtol=1e-4, atol=1e-4)


class TestContext:
    """An input of 8 with context_pad 2: the window fills the inner 4 pixels."""

    @pytest.fixture
    def detector(self, files):
        return Detector(*files, mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)

    def test_inside_the_image(self, detector, rng):
        """Rows 6 to 9 are four. Twice as many around their centre 8 are 4 to 12 (plus one, as R-CNN counts)."""
        image = rng.random((20, 30, 3)).astype(np.float32)
        crop = detector.crop(image, np.array([6, 10, 9, 13]))
        np.testing.assert_array_equal(crop, io.resize_image(image[4:12, 8:16], (8, 8)))

    def test_outside_is_the_mean(self, detector, rng):
        """Rows -2 to 6, but only 0 to 6 exist. Nine rows zoomed by 8/9 are two rows of mean, then six of image."""
        image = rng.random((20, 30, 3)).astype(np.float32)
        crop = detector.crop(image, [0, 10, 3, 13])
        np.testing.assert_allclose(crop[:2], np.broadcast_to([30 / 255, 20 / 255, 10 / 255], (2, 8, 3)), rtol=1e-6)
        np.testing.assert_array_equal(crop[2:], io.resize_image(image[0:6, 8:16], (6, 8)))

    def test_the_mean_becomes_zero_in_the_blob(self, detector):
        blob = detector.transformer.preprocess("data", detector.crop(np.ones((20, 30, 3)), [0, 0, 3, 3]))
        np.testing.assert_allclose(blob[:, :2], 0, atol=1e-4)
        np.testing.assert_allclose(blob[:, 4, 4], 255 - MEAN, rtol=1e-5)

    def test_without_a_mean(self, files):
        crop = Detector(*files, context_pad=2).crop(np.ones((20, 30, 3)), [0, 0, 3, 3])
        assert not crop[:2].any() and (crop[2:, 2:] == 1).all()


def test_refused(files, photo):
    detector = Detector(*files)
    with pytest.raises(NetError, match="no window"):
        detector.detect_windows([(photo, [])])
    for window in ([25, 0, 28, 5], [3, 3, 3, 9], [-2, 0, 5, 5]):
        with pytest.raises(NetError, match="does not lie in an image of \\(20, 30\\)"):
            detector.detect_windows([(photo, [window])])
    with pytest.raises(NetError, match="does not lie"):
        Detector(*files, context_pad=1).crop(np.ones((20, 30, 3)), [60, 60, 62, 62])
    with pytest.raises(NetError, match="context_pad 4 leaves nothing"):
        Detector(*files, context_pad=4)
    with pytest.raises(CaffeError, match="MATLAB"):
        detector.detect_selective_search([photo])
