"""Classifier: what goes into the net and how its scores are averaged, against NumPy."""

import numpy as np
import pytest
from caffe import Classifier, NetError, io

from tests.engine.build import input_layer, make_net

# The scores are the values themselves: one number for each channel and place of the crop.
NET = input_layer(data=(4, 3, 5, 6)) + 'layer { name: "f" type: "Flatten" bottom: "data" top: "f" }'


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    make_net(NET).save(tmp_path / "net.caffemodel")
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


def prepared(crop):
    """A crop as the transformer below prepares it."""
    blob = np.moveaxis(crop, 2, 0)[[2, 1, 0]] * 255.0 - np.array([10, 20, 30])[:, None, None]
    return (0.5 * blob).ravel()


@pytest.fixture
def classifier(files):
    return Classifier(
        *files, image_dims=(8, 11), mean=np.array([10, 20, 30]), input_scale=0.5, raw_scale=255, channel_swap=(2, 1, 0)
    )


def test_centre(classifier, rng):
    images = rng.random((7, 8, 11, 3)).astype(np.float32)
    scores = classifier.predict(images, oversample=False)
    assert scores.shape == (7, 90)
    np.testing.assert_allclose(scores, [prepared(image[1:6, 2:8]) for image in images], rtol=1e-5, atol=1e-4)


def test_ten_crops(classifier, rng):
    images = rng.random((2, 8, 11, 3)).astype(np.float32)
    scores = classifier.predict(images)
    for image, score in zip(images, scores, strict=True):
        crops = [image[y : y + 5, x : x + 6] for y, x in ((0, 0), (0, 5), (3, 0), (3, 5), (1, 2))]
        crops += [crop[:, ::-1] for crop in crops]
        np.testing.assert_allclose(score, np.mean([prepared(crop) for crop in crops], 0), rtol=1e-5, atol=1e-4)


def test_images_of_any_size_are_resized(classifier, rng):
    images = [rng.random((20, 13, 3)).astype(np.float32), rng.random((9, 30, 3)).astype(np.float32)]
    resized = [io.resize_image(image, (8, 11)) for image in images]
    np.testing.assert_array_equal(classifier.predict(images), classifier.predict(resized))


def test_by_default_the_whole_image_is_the_input(files, rng):
    image = rng.random((5, 6, 3)).astype(np.float32)
    score = Classifier(*map(str, files)).predict([image], oversample=False)
    np.testing.assert_allclose(score, [np.moveaxis(image, 2, 0).ravel()])


def test_refused(files, classifier, tmp_path):
    with pytest.raises(NetError, match="no image"):
        classifier.predict([])
    with pytest.raises(NetError, match=r"\(8, 3\) are smaller than the net's input \(5, 6\)"):
        Classifier(*files, image_dims=(8, 3)).predict([np.zeros((9, 9, 3))])
    (tmp_path / "train.prototxt").write_text(
        'layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } }'
    )
    with pytest.raises(NetError, match="deploy prototxt"):
        Classifier(tmp_path / "train.prototxt", files[1])
