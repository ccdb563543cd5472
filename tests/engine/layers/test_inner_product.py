"""InnerProduct and Embed against loops (float64, tolerance 1e-12)."""

import numpy as np
import pytest
import torch
from caffe import CaffeError

from tests.engine.build import forward, make_layer, weights_of
from tests.engine.gradient_check import check_gradient

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


@pytest.mark.parametrize("shape", [(7,), (3, 2)])
@pytest.mark.parametrize("bias_term", [True, False])
def test_embed(rng, shape, bias_term):
    index = rng.integers(0, 4, size=shape)
    layer = make_layer(
        f'type: "Embed" embed_param {{ num_output: 5 input_dim: 4 bias_term: {str(bias_term).lower()} {FILLED} }}',
        shape,
    )
    weight, *bias = weights_of(layer)
    assert (weight.shape, len(bias)) == ((4, 5), bias_term)
    expected = np.zeros((*shape, 5))
    for place in np.ndindex(shape):
        expected[place] = weight[index[place]] + (bias[0] if bias else 0)
    np.testing.assert_array_equal(forward(layer, index)[0], expected)
    check_gradient(layer, index, of=[])


def test_embed_refused():
    for fields in ("num_output: 5", "input_dim: 4"):
        with pytest.raises(CaffeError, match="num_output and input_dim must be 1 or more"):
            make_layer(f'type: "Embed" embed_param {{ {fields} }}', (3,))
    layer = make_layer('type: "Embed" embed_param { num_output: 5 input_dim: 4 }', (3,))
    for index in (-1, 4):
        with pytest.raises(CaffeError, match=f"input {index} is out of range: input_dim is 4"):
            forward(layer, [0, index, 3])
    (y,) = layer.forward([torch.zeros(3, requires_grad=True)], [torch.zeros(4, 5), torch.zeros(5)])
    with pytest.raises(CaffeError, match="no gradient with respect to indices"):
        y.sum().backward()
