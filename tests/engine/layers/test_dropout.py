"""Dropout: what it drops in TRAIN, its gradient, and that TEST is the identity."""

import numpy as np
import pytest
import torch
from caffe import TEST, TRAIN, CaffeError
from caffe._device import random_numbers

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


def dropout(ratio, shape, phase=TRAIN):
    return make_layer(f'type: "Dropout" dropout_param {{ dropout_ratio: {ratio} }}', shape, phase=phase)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.7])
def test_share_dropped_and_scale(ratio):
    shape = (50, 20, 10, 10)
    (y,) = forward(dropout(ratio, shape), np.ones(shape))
    kept = y != 0
    # The standard deviation of the mean of 100,000 coin tosses is at most 0.0016.
    assert abs(kept.mean() - (1 - ratio)) < 0.0064
    np.testing.assert_allclose(y[kept], 1 / (1 - ratio), rtol=1e-6)
    # Independent along every axis: no row, channel or place is kept whole or dropped whole.
    for axis in range(4):
        share = kept.mean(axis=tuple(a for a in range(4) if a != axis))
        assert np.abs(share - (1 - ratio)).max() < 6 * np.sqrt(0.25 * shape[axis] / kept.size)


def test_each_pass_draws_anew_and_a_seed_repeats():
    layer, x = dropout(0.5, (20, 30)), np.ones((20, 30))
    first, second = forward(layer, x)[0], forward(layer, x)[0]
    assert not np.array_equal(first, second)
    random_numbers.set_random_seed(1701)
    np.testing.assert_array_equal(forward(layer, x)[0], first)


def test_gradient_uses_the_mask_of_the_forward_pass(rng):
    layer = dropout(0.3, (5, 6))
    x = torch.tensor(rng.normal(size=(5, 6)) + 3, requires_grad=True)
    (y,) = layer.forward([x], [])
    above = torch.tensor(rng.normal(size=(5, 6)))
    y.backward(above)
    expected = np.where(y.detach().numpy() != 0, above.numpy() / 0.7, 0)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)
    check_gradient(layer, rng.normal(size=(5, 6)))


def test_channels_last_gets_the_same_kind_of_mask():
    layer = dropout(0.5, (4, 8, 5, 6))
    x = torch.ones(4, 8, 5, 6).contiguous(memory_format=torch.channels_last)
    (y,) = layer.forward([x], [])
    assert y.shape == x.shape and y.is_contiguous(memory_format=torch.channels_last)
    assert set(y.unique().tolist()) == {0.0, 2.0} and 0.3 < float((y > 0).float().mean()) < 0.7


def test_identity_in_test(rng):
    x = rng.normal(size=(3, 4))
    layer = dropout(0.7, (3, 4), TEST)
    np.testing.assert_array_equal(forward(layer, x)[0], x)
    check_gradient(layer, x)


def test_a_ratio_of_0_drops_nothing(rng):
    x = rng.normal(size=(30, 40))
    np.testing.assert_array_equal(forward(dropout(0, (30, 40)), x)[0], x)


@pytest.mark.parametrize("ratio", [1, 1.5, -0.1])
def test_refused(ratio):
    with pytest.raises(CaffeError, match="0 or more and below 1"):
        dropout(ratio, (2, 3))
