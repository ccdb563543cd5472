"""Softmax against a loop (float64, tolerance 1e-12)."""

import math

import numpy as np
import pytest

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


def softmax(x, axis):
    y = np.empty_like(x)
    others = [n for a, n in enumerate(x.shape) if a != axis]
    for place in np.ndindex(*others):
        line = (*place[:axis], slice(None), *place[axis:])
        largest = max(x[line])
        powers = [math.exp(value - largest) for value in x[line]]
        y[line] = [power / sum(powers) for power in powers]
    return y


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_values_and_gradient(rng, axis):
    x = 3 * rng.normal(size=(2, 5, 3, 4))
    layer = make_layer(f'type: "Softmax" softmax_param {{ axis: {axis} }}', x.shape)
    np.testing.assert_allclose(forward(layer, x)[0], softmax(x, axis % 4), rtol=1e-12)
    check_gradient(layer, x)


def test_default_axis_is_channels(rng):
    x = rng.normal(size=(3, 4, 2))
    np.testing.assert_allclose(forward(make_layer('type: "Softmax"', x.shape), x)[0], softmax(x, 1), rtol=1e-12)


def test_large_scores_do_not_overflow():
    (y,) = forward(make_layer('type: "Softmax"', (1, 3)), np.array([[1000.0, 999.0, -1000.0]]))
    np.testing.assert_allclose(y, [[1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0]], rtol=1e-12)
