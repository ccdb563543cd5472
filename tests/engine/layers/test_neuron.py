"""Element-wise layers: values against formulas in float64, gradients, kinks, and what is refused."""

import math

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient


@pytest.mark.parametrize("power, scale, shift", [(1, 1, 0), (2, 3, 0.5), (0.5, 1, 4), (3, -1, 0), (0, 2, 1.5)])
def test_power(rng, power, scale, shift):
    """(shift + scale * x) ^ power; tolerance 1e-12."""
    x = rng.random(size=(2, 3, 4)) + 0.1
    layer = make_layer(f'type: "Power" power_param {{ power: {power} scale: {scale} shift: {shift} }}', x.shape)
    np.testing.assert_allclose(forward(layer, x)[0], (shift + scale * x) ** power, rtol=1e-12)
    check_gradient(layer, x)


def gradient_at(text, x, top="y"):
    """Gradients of the sum of the top, by a net, in float32."""
    net = make_net(
        input_layer(x=np.shape(x)) + f'layer {{ name: "layer" bottom: "x" top: "{top}" {text} }} force_backward: true'
    )
    net.forward(x=np.float32(x))
    net.backward(**{top: np.ones(np.shape(x), np.float32)})
    return net.blobs["x"].diff


def test_power_at_zero():
    """By Caffe's formula: a division that the square does without."""
    np.testing.assert_array_equal(gradient_at('type: "Power" power_param { power: 2 }', [0, 3]), [0, 6])
    np.testing.assert_array_equal(gradient_at('type: "Power" power_param { power: 3 }', [0, 2]), [np.nan, 12])


@pytest.mark.parametrize(
    "text, derivative",
    [
        ('type: "Power" power_param { power: 3 scale: 0.5 }', lambda x: 0.375 * x**2),
        ('type: "Log" log_param { base: 2 }', lambda x: 1 / x / math.log(2)),
        ('type: "Exp"', math.exp),
    ],
)
def test_in_place_it_is_the_derivative(text, derivative):
    np.testing.assert_allclose(gradient_at(text, [0.5, 2], "x"), [derivative(0.5), derivative(2)], rtol=1e-6)


def test_absval(rng):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer('type: "AbsVal"', x.shape)
    np.testing.assert_array_equal(forward(layer, x)[0], np.where(x < 0, -x, x))
    check_gradient(layer, x, kink=0, kink_radius=0.01)
    np.testing.assert_array_equal(gradient_at('type: "AbsVal"', [-2, 0, 3]), [-1, 0, 1])
    with pytest.raises(CaffeError, match="in place"):
        make_layer('type: "AbsVal" bottom: "x" top: "x"', (2, 3))


def test_clip(rng):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer('type: "Clip" clip_param { min: -0.5 max: 0.25 }', x.shape)
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape):
        expected[place] = -0.5 if x[place] < -0.5 else 0.25 if x[place] > 0.25 else x[place]
    np.testing.assert_array_equal(forward(layer, x)[0], expected)
    limits = 'type: "Clip" clip_param { min: -1 max: 2 }'
    np.testing.assert_array_equal(gradient_at(limits, [-1.5, -1, 0, 2, 2.5]), [0, 1, 1, 1, 0])
    # In place -1.5 has become -1 by the time of the gradient, as in real Caffe.
    np.testing.assert_array_equal(gradient_at(limits, [-1.5, -1, 0, 2, 2.5], "x"), [1, 1, 1, 1, 1])


@pytest.mark.parametrize("base", [-1, 0.5, 10])
@pytest.mark.parametrize("scale, shift", [(1, 0), (-0.75, 3)])
def test_exp_and_log(rng, base, scale, shift):
    x = rng.uniform(0.5, 2, size=(2, 3, 4))
    fields = f"base: {base} scale: {scale} shift: {shift}"
    e = math.e if base == -1 else base
    exp = make_layer(f'type: "Exp" exp_param {{ {fields} }}', x.shape)
    np.testing.assert_allclose(forward(exp, x)[0], e ** (shift + scale * x), rtol=1e-12)
    check_gradient(exp, x)
    log = make_layer(f'type: "Log" log_param {{ {fields} }}', x.shape)
    np.testing.assert_allclose(forward(log, x)[0], np.log(shift + scale * x) / math.log(e), rtol=1e-12)
    check_gradient(log, x)


def test_exp_overflows_without_an_error():
    assert forward(make_layer('type: "Exp" exp_param { shift: 1e30 }', (1,)), [1.0])[0] == np.inf


@pytest.mark.parametrize("type_, fields", [("Exp", "base: 0"), ("Log", "base: -2"), ("Log", "base: inf")])
def test_base_is_positive(type_, fields):
    with pytest.raises(CaffeError, match="base must be positive"):
        make_layer(f'type: "{type_}" {type_.lower()}_param {{ {fields} }}', (2, 3))


def test_log_refuses_base_one():
    with pytest.raises(CaffeError, match="base cannot be 1"):
        make_layer('type: "Log" log_param { base: 1 }', (2, 3))


def test_threshold():
    layer = make_layer('type: "Threshold" threshold_param { threshold: 0.5 }', (4,))
    np.testing.assert_array_equal(forward(layer, [-1.0, 0.5, 0.51, 3.0])[0], [0, 0, 1, 1])
    with pytest.raises(CaffeError, match="no gradient with respect to a threshold's input"):
        gradient_at('type: "Threshold"', [1, 2])
