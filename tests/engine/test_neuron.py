"""ReLU: values, gradient, and both when it works in place inside a net."""

import numpy as np
import pytest

from .build import forward, input_layer, make_layer, make_net
from .gradient_check import check_gradient


@pytest.mark.parametrize("slope", [0, 0.25, 1, -0.5])
def test_values_and_gradient(rng, slope):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer(f'type: "ReLU" relu_param {{ negative_slope: {slope} }}', x.shape)
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape):
        expected[place] = max(x[place], 0) + slope * min(x[place], 0)
    np.testing.assert_array_equal(forward(layer, x)[0], expected)
    check_gradient(layer, x, kink=0, kink_radius=0.01)


@pytest.mark.parametrize("slope", [0, 0.25])
@pytest.mark.parametrize("views", [False, True], ids=["no views", "views taken before"])
def test_in_place(rng, slope, views):
    """In place, the blob below holds the rectified values and the gradient is still right."""
    net = make_net(
        input_layer(data=(2, 3))
        + 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 '
        'weight_filler { type: "gaussian" } } } '
        f'layer {{ name: "relu" type: "ReLU" bottom: "ip" top: "ip" relu_param {{ negative_slope: {slope} }} }} '
        "force_backward: true"
    )
    if views:
        before = {name: (blob.data, blob.diff) for name, blob in net.blobs.items()}
    assert list(net.blobs) == ["data", "ip"]
    x = rng.normal(size=(2, 3)).astype(np.float32)
    net.forward(data=x)
    weight = net.params["ip"][0].data
    y = x @ weight.T
    np.testing.assert_allclose(net.blobs["ip"].data, np.where(y > 0, y, slope * y), rtol=1e-6)
    above = rng.normal(size=(2, 4)).astype(np.float32)
    net.backward(ip=above)
    below = above * np.where(y > 0, 1, slope)
    np.testing.assert_allclose(net.blobs["ip"].diff, below, rtol=1e-6)
    np.testing.assert_allclose(net.blobs["data"].diff, below @ weight, rtol=1e-5)
    np.testing.assert_allclose(net.params["ip"][0].diff, below.T @ x, rtol=1e-5, atol=1e-6)
    if views:
        for name, (data, diff) in before.items():
            assert data is net.blobs[name].data or np.shares_memory(data, net.blobs[name].data)
            assert np.shares_memory(diff, net.blobs[name].diff)


@pytest.mark.parametrize("power, scale, shift", [(1, 1, 0), (2, 3, 0.5), (0.5, 1, 4), (3, -1, 0), (0, 2, 1.5)])
def test_power(rng, power, scale, shift):
    """(shift + scale * x) ^ power; tolerance 1e-12."""
    x = rng.random(size=(2, 3, 4)) + 0.1
    layer = make_layer(f'type: "Power" power_param {{ power: {power} scale: {scale} shift: {shift} }}', x.shape)
    np.testing.assert_allclose(forward(layer, x)[0], (shift + scale * x) ** power, rtol=1e-12)
    if power:
        check_gradient(layer, x)
