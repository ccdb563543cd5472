"""MVN against NumPy (float64, tolerance 1e-12)."""

import numpy as np
import pytest
import torch
from caffe import CaffeError

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


@pytest.mark.parametrize("across, axes", [("true", (1, 2, 3)), ("false", (2, 3))])
@pytest.mark.parametrize("variance", ["true", "false"])
def test_values_and_gradient(rng, across, axes, variance):
    x = 3 + 2 * rng.normal(size=(2, 3, 5, 4))
    layer = make_layer(
        f'type: "MVN" mvn_param {{ across_channels: {across} normalize_variance: {variance} eps: 1e-9 }}', x.shape
    )
    expected = x - x.mean(axes, keepdims=True)
    if variance == "true":
        expected /= x.std(axes, keepdims=True) + float(np.float32(1e-9))
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-13)
    check_gradient(layer, x)


def test_gradient_counts_eps_as_deviation(rng):
    x, diff = rng.normal(size=(1, 1, 3, 4)), rng.normal(size=(1, 1, 3, 4))
    layer = make_layer('type: "MVN" mvn_param { eps: 0.5 }', x.shape)
    values = torch.tensor(x, requires_grad=True)
    (y,) = layer.forward([values], [])
    y.backward(torch.tensor(diff))
    divisor = x.std() + 0.5
    top = (x - x.mean()) / divisor
    expected = (diff - diff.mean() - (diff * top).mean() * top) / divisor
    np.testing.assert_allclose(values.grad.numpy(), expected, rtol=1e-12)


def test_a_constant_map_is_zero_and_its_gradient_finite():
    x = torch.full((1, 2, 3, 4), 5.0, dtype=torch.float64, requires_grad=True)
    (y,) = make_layer('type: "MVN"', x.shape).forward([x], [])
    y.sum().backward()
    assert not y.any()
    assert torch.isfinite(x.grad).all()


def test_fewer_axes_become_four(rng):
    x = rng.normal(size=(3, 4))
    layer = make_layer('type: "MVN" mvn_param { across_channels: true }', x.shape)
    (y,) = forward(layer, x)
    assert y.shape == (3, 4, 1, 1)
    np.testing.assert_allclose(y.mean(1), 0, atol=1e-12)
    with pytest.raises(CaffeError, match="at most 4 axes"):
        make_layer('type: "MVN"', (1, 2, 3, 4, 5))
