"""InnerProduct against a loop (float64, tolerance 1e-12)."""

import numpy as np
import pytest
from caffe import CaffeError

from .build import forward, make_layer, weights_of
from .gradient_check import check_gradient

FILLED = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'


def product(x, weight, bias, axis):
    """weight is (num_output, inputs)."""
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
    y = np.zeros((len(rows), len(weight)))
    for n, o in np.ndindex(y.shape):
        y[n, o] = sum(a * b for a, b in zip(weight[o], rows[n], strict=True)) + bias[o]
    return y.reshape(*x.shape[:axis], len(weight))


@pytest.mark.parametrize("axis, inputs", [(1, 60), (2, 20), (-1, 5), (0, 120)])
@pytest.mark.parametrize("transpose", [False, True])
def test_values(rng, axis, inputs, transpose):
    x = rng.normal(size=(2, 3, 4, 5))
    layer = make_layer(
        f'type: "InnerProduct" inner_product_param {{ num_output: 6 axis: {axis} '
        f"transpose: {str(transpose).lower()} {FILLED} }}",
        x.shape,
    )
    weight, bias = weights_of(layer)
    assert weight.shape == ((inputs, 6) if transpose else (6, inputs))
    expected = product(x, weight.T if transpose else weight, bias, axis % 4)
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-12)


def test_without_bias(rng):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer(f'type: "InnerProduct" inner_product_param {{ num_output: 5 bias_term: false {FILLED} }}',
                       x.shape)  # fmt: skip
    (weight,) = weights_of(layer)
    np.testing.assert_allclose(forward(layer, x)[0], product(x, weight, np.zeros(5), 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", ["", "axis: 2", "transpose: true", "bias_term: false"])
def test_gradient(rng, text):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer(f'type: "InnerProduct" inner_product_param {{ num_output: 5 {text} {FILLED} }}', x.shape)
    check_gradient(layer, x)


def test_batch_size_may_change_but_not_the_inputs(rng):
    layer = make_layer(f'type: "InnerProduct" inner_product_param {{ num_output: 5 {FILLED} }}', (2, 3, 4))
    assert layer.top_shapes([(7, 4, 3)]) == [(7, 5)]
    with pytest.raises(CaffeError, match="made for 12 inputs"):
        layer.top_shapes([(2, 3, 5)])


def test_refused():
    with pytest.raises(CaffeError, match="num_output"):
        make_layer('type: "InnerProduct"', (2, 3))
    with pytest.raises(CaffeError, match="axis 3 is out of range"):
        make_layer('type: "InnerProduct" inner_product_param { num_output: 2 axis: 3 }', (2, 3))
