"""LRN against a loop (float64, tolerance 1e-12)."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


def normalize(x, size, alpha, beta, k):
    y = np.empty_like(x)
    channels = x.shape[1]
    for n, c, i, j in np.ndindex(x.shape):
        energy = sum(x[n, d, i, j] ** 2 for d in range(max(0, c - size // 2), min(channels, c + size // 2 + 1)))
        y[n, c, i, j] = x[n, c, i, j] / (k + alpha / size * energy) ** beta
    return y


# float32 parameters, as the prototxt holds them.
CASES = [
    ("local_size: 5 alpha: 0.0001 beta: 0.75", (5, np.float32(1e-4), 0.75, 1)),
    ("local_size: 3 alpha: 2 beta: 0.5 k: 3", (3, 2, 0.5, 3)),
    ("", (5, 1, 0.75, 1)),
    ("local_size: 15 alpha: 1", (15, 1, 0.75, 1)),  # wider than there are channels
    ("local_size: 1 alpha: 1 beta: 1", (1, 1, 1, 1)),
]


@pytest.mark.parametrize("text, numbers", CASES)
def test_values(rng, text, numbers):
    x = 3 * rng.normal(size=(2, 7, 3, 4))
    size, alpha, beta, k = (float(number) for number in numbers)
    layer = make_layer(f'type: "LRN" lrn_param {{ {text} }}', x.shape)
    np.testing.assert_allclose(forward(layer, x)[0], normalize(x, int(size), alpha, beta, k), rtol=1e-12)


@pytest.mark.parametrize("text", [CASES[1][0], CASES[2][0], CASES[3][0]])
def test_gradient(rng, text):
    x = 2 * rng.normal(size=(2, 7, 2, 3))
    check_gradient(make_layer(f'type: "LRN" lrn_param {{ {text} }}', x.shape), x)


def normalize_within(x, size, alpha, beta):
    y, reach = np.empty_like(x), size // 2
    for n, c, i, j in np.ndindex(x.shape):
        around = x[n, c, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
        y[n, c, i, j] = x[n, c, i, j] / (1 + alpha / size**2 * (around**2).sum()) ** beta
    return y


# The last window is wider than the map; k is not used within a channel.
WITHIN = [("local_size: 3 alpha: 2 beta: 0.5 k: 3", (3, 2, 0.5)), ("local_size: 9", (9, 1, 0.75))]


@pytest.mark.parametrize("text, numbers", WITHIN)
def test_within_channel(rng, text, numbers):
    x = 2 * rng.normal(size=(2, 3, 4, 5))
    layer = make_layer(f'type: "LRN" lrn_param {{ norm_region: WITHIN_CHANNEL {text} }}', x.shape)
    np.testing.assert_allclose(forward(layer, x)[0], normalize_within(x, *numbers), rtol=1e-12)
    check_gradient(layer, x)


@pytest.mark.parametrize(
    "text, shape, message",
    [
        ("local_size: 4", (2, 7, 3, 4), "odd"),
        ("", (2, 7), "4 axes"),
        ("norm_region: WITHIN_CHANNEL local_size: 2", (2, 7, 3, 4), "odd"),
    ],
)
def test_refused(text, shape, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "LRN" lrn_param {{ {text} }}', shape)
