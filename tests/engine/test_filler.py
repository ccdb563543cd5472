"""Fillers: the distribution of each type (5 standard errors of what is measured), and what is refused."""

import numpy as np
import pytest
from caffe import PrototxtError
from caffe._blob import Blob
from caffe._files import prototxt
from caffe._filler import fill
from caffe.proto import caffe_pb2

SHAPE = (50, 40, 5, 7)
COUNT = 50 * 40 * 35
FAN = {"FAN_IN": 40 * 35, "FAN_OUT": 50 * 35, "AVERAGE": 45 * 35}


def filled(text, shape=SHAPE):
    blob = Blob(shape)
    fill(blob, prototxt.parse(text, caffe_pb2.FillerParameter(), "test"))
    assert blob.data.dtype == np.float32 and blob.data.shape == tuple(shape)
    return blob.data.astype(np.float64)


def assert_uniform(values, low, high):
    assert values.min() >= low and values.max() <= high
    # Ten bins, each with a tenth of the values.
    counts, _ = np.histogram(values, 10, (low, high))
    assert np.abs(counts - values.size / 10).max() < 5 * np.sqrt(values.size * 0.09)


def assert_gaussian(values, mean, std):
    assert abs(values.mean() - mean) < 5 * std / np.sqrt(values.size)
    assert abs(values.std() - std) < 5 * std / np.sqrt(2 * values.size)
    for sigmas, share in ((1, 0.6827), (2, 0.9545)):
        within = (np.abs(values - mean) < sigmas * std).mean()
        assert abs(within - share) < 5 * np.sqrt(share * (1 - share) / values.size)


def test_constant():
    assert (filled("") == 0).all()
    assert (filled('type: "constant" value: 2.5', (3, 2)) == 2.5).all()


def test_uniform():
    assert_uniform(filled('type: "uniform"'), 0, 1)
    assert_uniform(filled('type: "uniform" min: -3 max: 2'), -3, 2)


def test_gaussian():
    assert_gaussian(filled('type: "gaussian"'), 0, 1)
    assert_gaussian(filled('type: "gaussian" mean: 2 std: 0.05'), 2, 0.05)


def test_gaussian_sparse():
    """``sparse`` nonzero values of 50 outputs, at random places; the rest exactly zero."""
    values = filled('type: "gaussian" mean: 5 std: 0.5 sparse: 10')
    kept = values != 0
    assert abs(kept.mean() - 10 / 50) < 5 * np.sqrt(0.16 / COUNT)
    assert_gaussian(values[kept], 5, 0.5)


def test_positive_unitball():
    values = filled('type: "positive_unitball"')
    assert (values >= 0).all()
    np.testing.assert_allclose(values.sum(axis=(1, 2, 3)), 1, rtol=1e-4)
    # All outputs together are uniform, scaled by about 2 / (values of an output).
    assert values.max() < 1.2 * 2 / FAN["FAN_IN"]


@pytest.mark.parametrize("norm, fan", [("", FAN["FAN_IN"]), *((f"variance_norm: {k}", v) for k, v in FAN.items())])
def test_xavier_and_msra(norm, fan):
    assert_uniform(filled(f'type: "xavier" {norm}'), -np.sqrt(3 / fan), np.sqrt(3 / fan))
    assert_gaussian(filled(f'type: "msra" {norm}'), 0, np.sqrt(2 / fan))


def test_fans_of_two_axes():
    values = filled('type: "xavier" variance_norm: FAN_OUT', (300, 200))
    assert_uniform(values, -np.sqrt(3 / 300), np.sqrt(3 / 300))


@pytest.mark.parametrize("size", [3, 4, 5])
def test_bilinear(size):
    values = filled('type: "bilinear"', (2, 3, size, size))
    factor = (size + 1) // 2
    centre = (size - 1) / (2.0 * factor)
    for n, c, y, x in np.ndindex(values.shape):
        expected = (1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre))
        assert values[n, c, y, x] == pytest.approx(expected, rel=1e-6)


def test_draws_follow_the_seed():
    from caffe import set_random_seed

    set_random_seed(3)
    first, second = filled('type: "gaussian"', (3, 4)), filled('type: "gaussian"', (3, 4))
    set_random_seed(3)
    np.testing.assert_array_equal(filled('type: "gaussian"', (3, 4)), first)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "text, shape, message",
    [
        ('type: "guassian"', (2,), "Unknown filler: guassian. Did you mean gaussian"),
        ('type: "xavier" sparse: 3', (2,), "Sparsity not supported"),
        ('type: "gaussian" sparse: -2', (2,), "sparse must be -1 or more"),
        ('type: "bilinear"', (2, 3, 4, 5), "square"),
        ('type: "bilinear"', (4, 4), "4 axes"),
    ],
)
def test_refused(text, shape, message):
    with pytest.raises(PrototxtError, match=message):
        filled(text, shape)
