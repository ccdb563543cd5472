"""Activations: values against loops and formulas, gradients, and both when they work in place inside a net."""

import math

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net, weights_of
from tests.engine.gradient_check import check_gradient


@pytest.mark.parametrize("slope", [0, 0.25, 1, -0.5])
def test_relu(rng, slope):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer(f'type: "ReLU" relu_param {{ negative_slope: {slope} }}', x.shape)
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape):
        expected[place] = max(x[place], 0) + slope * min(x[place], 0)
    np.testing.assert_array_equal(forward(layer, x)[0], expected)
    check_gradient(layer, x, kink=0, kink_radius=0.01)


@pytest.mark.parametrize("slope", [0, 0.25])
@pytest.mark.parametrize("views", [False, True], ids=["no views", "views taken before"])
def test_relu_in_place(rng, slope, views):
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


CURVES = {
    'type: "ELU"': lambda x: x if x > 0 else math.exp(x) - 1,
    'type: "ELU" elu_param { alpha: -0.25 }': lambda x: x if x > 0 else -0.25 * (math.exp(x) - 1),
    'type: "BNLL"': lambda x: math.log(1 + math.exp(x)),
    'type: "Sigmoid"': lambda x: 1 / (1 + math.exp(-x)),
    'type: "Swish"': lambda x: x / (1 + math.exp(-x)),
    'type: "Swish" swish_param { beta: -0.5 }': lambda x: x / (1 + math.exp(0.5 * x)),
    'type: "TanH"': lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
}


@pytest.mark.parametrize("text", CURVES)
def test_curve(rng, text):
    x = 3 * rng.normal(size=(2, 3, 4))
    expected = np.vectorize(CURVES[text])(x)
    np.testing.assert_allclose(forward(make_layer(text, x.shape), x)[0], expected, rtol=1e-12, atol=1e-14)
    check_gradient(make_layer(text, x.shape), x, kink=0, kink_radius=0.01)


@pytest.mark.parametrize("text", CURVES)
def test_curve_far_out(text):
    """No overflow, neither in the values nor in the gradient (float32)."""
    net = make_net(input_layer(x=(5,)) + f'layer {{ name: "y" bottom: "x" top: "y" {text} }} force_backward: true')
    net.forward(x=np.float32([-200, -90, 0, 90, 200]))
    net.backward(y=np.ones(5, np.float32))
    assert np.isfinite(net.blobs["y"].data).all()
    assert np.isfinite(net.blobs["x"].diff).all()


def test_bnll_in_place_takes_the_gradient_at_its_own_values():
    """Real Caffe does the same, because it has no other values left."""
    net = make_net(input_layer(x=(3,)) + 'layer { name: "y" type: "BNLL" bottom: "x" top: "x" } force_backward: true')
    x = np.float32([-1, 0, 2])
    net.forward(x=x)
    top = np.log1p(np.exp(x))
    np.testing.assert_allclose(net.blobs["x"].data, top, rtol=1e-6)
    net.backward(x=np.float32([1, 2, 3]))
    np.testing.assert_allclose(net.blobs["x"].diff, [1, 2, 3] / (1 + np.exp(-top)), rtol=1e-6)


GAUSSIAN = 'filler { type: "gaussian" }'


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 5, 4)])
@pytest.mark.parametrize("shared", [False, True])
def test_prelu(rng, shape, shared):
    x = rng.normal(size=shape)
    layer = make_layer(f'type: "PReLU" prelu_param {{ channel_shared: {str(shared).lower()} {GAUSSIAN} }}', shape)
    (slope,) = weights_of(layer)
    assert slope.shape == (() if shared else (3,))
    expected = np.empty_like(x)
    for place in np.ndindex(shape):
        expected[place] = x[place] if x[place] > 0 else x[place] * (slope if shared else slope[place[1]])
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12)
    check_gradient(layer, x, kink=0, kink_radius=0.01)


def test_prelu_starts_at_a_quarter():
    np.testing.assert_array_equal(weights_of(make_layer('type: "PReLU"', (2, 3)))[0], [0.25] * 3)


@pytest.mark.parametrize("views", [False, True], ids=["no views", "views taken before"])
def test_prelu_in_place(views):
    """The gradient of the slope needs the values from before, which the top is written over."""
    net = make_net(
        input_layer(x=(1, 4)) + 'layer { name: "p" type: "PReLU" bottom: "x" top: "x" prelu_param { '
        "channel_shared: true } } force_backward: true"
    )
    if views:
        assert net.blobs["x"].data.sum() == 0
    net.forward(x=np.float32([[-4, -2, 0, 3]]))
    net.backward(x=np.float32([[1, 10, 100, 1000]]))
    np.testing.assert_array_equal(net.blobs["x"].data, [[-1, -0.5, 0, 3]])
    np.testing.assert_array_equal(net.blobs["x"].diff, [[0.25, 2.5, 25, 1000]])
    assert net.params["p"][0].diff == -24


def test_prelu_refused():
    for shape in [(3,), (1, 2, 3, 4, 5)]:
        with pytest.raises(CaffeError, match="2 to 4 axes"):
            make_layer('type: "PReLU"', shape)
    with pytest.raises(CaffeError, match="slopes of 3 channels"):
        make_layer('type: "PReLU"', (2, 3, 4)).top_shapes([(2, 4, 3)])
