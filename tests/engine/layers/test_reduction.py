"""Reduction and ArgMax against loops, and what they refuse."""

import math

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient

OPERATIONS = {
    "SUM": sum,
    "ASUM": lambda row: sum(abs(v) for v in row),
    "SUMSQ": lambda row: sum(v * v for v in row),
    "MEAN": lambda row: sum(row) / len(row),
}


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("coeff", [1, -0.5])
def test_reduction(rng, axis, operation, coeff):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer(
        f'type: "Reduction" reduction_param {{ operation: {operation} axis: {axis} coeff: {coeff} }}', x.shape
    )
    expected = np.empty(x.shape[:axis])
    for place in np.ndindex(expected.shape):
        expected[place] = coeff * OPERATIONS[operation](x[place].ravel().tolist())
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-13)
    check_gradient(layer, x, kink=0, kink_radius=0.001)


def largest(vector, k):
    """(index, value) of the k largest; of equals the last first."""
    return sorted(enumerate(vector), key=lambda pair: (pair[1], pair[0]), reverse=True)[:k]


@pytest.mark.parametrize("shape", [(4, 7), (3, 5, 2), (2, 3, 2, 2), (2, 3, 1, 2, 2)])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("values", [False, True])
def test_argmax_of_records(rng, shape, k, values):
    x = rng.integers(0, 4, size=shape).astype(float)
    text = f'type: "ArgMax" argmax_param {{ top_k: {k} out_max_val: {str(values).lower()} }}'
    (y,) = forward(make_layer(text, shape), x)
    assert y.shape == (shape[0], 2 if values else 1, k) + (1,) * (len(shape) - 3)
    for n in range(shape[0]):
        found = largest(x[n].ravel(), k)
        np.testing.assert_array_equal(y[n, 0].ravel(), [index for index, _ in found])
        if values:
            np.testing.assert_array_equal(y[n, 1].ravel(), [value for _, value in found])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("values", [False, True])
def test_argmax_along_an_axis(rng, axis, values):
    x = rng.integers(0, 3, size=(4, 5, 6)).astype(float)
    text = f'type: "ArgMax" argmax_param {{ top_k: 3 axis: {axis} out_max_val: {str(values).lower()} }}'
    (y,) = forward(make_layer(text, x.shape), x)
    rows, found = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    assert found.shape == (*rows.shape[:-1], 3)
    for place in np.ndindex(rows.shape[:-1]):
        np.testing.assert_array_equal(found[place], [pair[values] for pair in largest(rows[place], 3)])


@pytest.mark.parametrize("fields, most", [("top_k: 13", 12), ("top_k: 4 axis: 1", 3), ("top_k: 0", 12)])
def test_argmax_refused(fields, most):
    with pytest.raises(CaffeError, match=f"top_k must be from 1 to {most}"):
        make_layer(f'type: "ArgMax" argmax_param {{ {fields} }}', (2, 3, 4))


def test_argmax_has_no_gradient():
    net = make_net(
        input_layer(x=(2, 3)) + 'layer { name: "a" type: "ArgMax" bottom: "x" top: "y" } force_backward: true'
    )
    assert math.prod(net.forward(x=np.float32([[1, 3, 2], [5, 4, 0]]))["y"].shape) == 2
    with pytest.raises(CaffeError, match="no gradient with respect to what it compares"):
        net.backward(y=np.ones((2, 1, 1), np.float32))
