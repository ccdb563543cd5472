"""SPP against the pooling of each bin (float64, tolerance 1e-12)."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


def bins_of(length, bins):
    """Starts and ends of the bins, without what is padding, and how long each is with it."""
    side = -(-length // bins)
    pad = (side * bins - length + 1) // 2
    starts = [i * side - pad for i in range(bins)]
    return [(max(0, s), min(s + side, length), min(s + side, length + pad) - s) for s in starts]


def pyramid(x, height, method):
    parts = []
    for level in range(height):
        rows, columns = (bins_of(length, 2**level) for length in x.shape[2:])
        y = np.empty((*x.shape[:2], len(rows), len(columns)))
        for i, (top, bottom, tall) in enumerate(rows):
            for j, (left, right, wide) in enumerate(columns):
                window = x[:, :, top:bottom, left:right]
                y[:, :, i, j] = window.max((2, 3)) if method == "MAX" else window.sum((2, 3)) / (tall * wide)
        parts.append(y.reshape(len(x), -1))
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("height, shape", [(2, (2, 3, 7, 6)), (3, (2, 3, 8, 11))])
def test_values_and_gradient(rng, method, height, shape):
    x = rng.permutation(np.prod(shape)).reshape(shape) / 10 - 100
    layer = make_layer(f'type: "SPP" spp_param {{ pyramid_height: {height} pool: {method} }}', shape)
    np.testing.assert_allclose(forward(layer, x)[0], pyramid(x, height, method), rtol=1e-12)
    check_gradient(layer, x, step=1e-3)


def test_one_level_keeps_four_axes_and_follows_the_input(rng):
    layer = make_layer('type: "SPP" spp_param { pyramid_height: 1 }', (2, 3, 5, 4))
    for shape in ((2, 3, 5, 4), (1, 3, 6, 7)):
        x = rng.normal(size=shape)
        layer.top_shapes([shape])
        np.testing.assert_array_equal(forward(layer, x)[0], x.max((2, 3), keepdims=True))


def test_stochastic_draws_from_each_bin(rng):
    x = rng.random((2, 3, 4, 8))
    layer = make_layer('type: "SPP" spp_param { pyramid_height: 2 pool: STOCHASTIC }', x.shape)
    (y,) = forward(layer, x)
    assert y.shape == (2, 15)
    assert np.isin(y, x).all()


@pytest.mark.parametrize(
    "text, shape, message",
    [
        ("", (2, 3, 4, 5), "pyramid_height"),
        ("pyramid_height: 4", (2, 3, 7, 9), "do not divide into 4 x 4|do not divide into 8 x 8"),
        ("pyramid_height: 2", (2, 3, 4), "4 axes"),
    ],
)
def test_refused(text, shape, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "SPP" spp_param {{ {text} }}', shape)
