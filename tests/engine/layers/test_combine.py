"""Concat, Slice and Eltwise against loops, and what they refuse."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient


@pytest.mark.parametrize("fields, axis", [("", 1), ("axis: 0", 0), ("axis: -1", 3), ("concat_dim: 2", 2)])
def test_concat(rng, fields, axis):
    parts = []
    for length in (3, 1, 4):
        shape = [2, 3, 5, 4]
        shape[axis] = length
        parts.append(rng.normal(size=shape))
    layer = make_layer(f'type: "Concat" concat_param {{ {fields} }}', *(x.shape for x in parts))
    (y,) = forward(layer, *parts)
    for place in np.ndindex(y.shape):
        inside, k = list(place), 0
        while inside[axis] >= parts[k].shape[axis]:
            inside[axis] -= parts[k].shape[axis]
            k += 1
        assert y[place] == parts[k][tuple(inside)]
    check_gradient(layer, *(x[..., :2] if axis < 3 else x[:1] for x in parts))


def test_concat_refused():
    with pytest.raises(CaffeError, match="either axis or concat_dim"):
        make_layer('type: "Concat" concat_param { axis: 1 concat_dim: 1 }', (2, 3))
    with pytest.raises(CaffeError, match="concat_dim 2 is out of range"):
        make_layer('type: "Concat" concat_param { concat_dim: 2 }', (2, 3))
    with pytest.raises(CaffeError, match="axis 1 only"):
        make_layer('type: "Concat"', (2, 3, 4), (2, 5, 3))
    with pytest.raises(CaffeError, match=r"\(2, 3\)"):
        make_layer('type: "Concat"', (2, 3), (2, 3, 1))


@pytest.mark.parametrize(
    "fields, axis, lengths",
    [
        ("", 1, [2, 2, 2]),
        ("slice_point: 1 slice_point: 4", 1, [1, 3, 2]),
        ("axis: 0 slice_point: 4", 0, [4, 1]),
        ("axis: -1 slice_point: 2 slice_point: 3", 2, [2, 1, 1]),
        ("slice_dim: 2", 2, [4]),
    ],
)
def test_slice(rng, fields, axis, lengths):
    x = rng.normal(size=(5, 6, 4))
    layer = make_layer(f'type: "Slice" slice_param {{ {fields} }}', x.shape, tops=len(lengths))
    start = 0
    for part, length in zip(forward(layer, x), lengths, strict=True):
        np.testing.assert_array_equal(part, x.take(range(start, start + length), axis))
        start += length
    check_gradient(layer, x)


def test_slices_keep_their_values():
    net = make_net(
        input_layer(x=(4, 2))
        + 'layer { name: "s" type: "Slice" bottom: "x" top: "a" top: "b" slice_param { axis: 0 } }'
    )
    net.forward(x=np.float32([[1, 2], [3, 4], [5, 6], [7, 8]]))
    net.blobs["x"].data[...] = 0
    np.testing.assert_array_equal(net.blobs["b"].data, [[5, 6], [7, 8]])


@pytest.mark.parametrize(
    "fields, message",
    [
        ("axis: 1 slice_dim: 1", "either axis or slice_dim"),
        ("slice_dim: 3", "out of range"),
        ("slice_point: 1 slice_point: 2", "2 tops need 1 slice_point"),
        ("slice_point: 0", "must ascend"),
        ("slice_point: 6", "must ascend"),
        ("", "length 5 cannot be cut into 2 equal"),
        ("axis: 2 slice_point: 1", "length 1 cannot be cut into 2 tops"),
    ],
)
def test_slice_refused(fields, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "Slice" slice_param {{ {fields} }}', (2, 5, 1), tops=2)


@pytest.mark.parametrize("bottoms", [2, 4])
@pytest.mark.parametrize(
    "fields", ["", "coeff", "operation: PROD", "operation: PROD stable_prod_grad: false", "operation: MAX"]
)
def test_eltwise(rng, fields, bottoms):
    parts = [rng.normal(size=(2, 3, 4)) for _ in range(bottoms)]
    coeff = [1.0] * bottoms
    if fields == "coeff":
        coeff = [0.5, -1, 1, 3][:bottoms]
        fields = " ".join(f"coeff: {c}" for c in coeff)
    layer = make_layer(f'type: "Eltwise" eltwise_param {{ {fields} }}', *(x.shape for x in parts))
    expected = np.empty_like(parts[0])
    for place in np.ndindex(expected.shape):
        values = [x[place] for x in parts]
        if "PROD" in fields:
            expected[place] = np.prod(values)
        else:
            expected[place] = max(values) if "MAX" in fields else sum(c * v for c, v in zip(coeff, values, strict=True))
    np.testing.assert_allclose(forward(layer, *parts)[0], expected, rtol=1e-12)
    check_gradient(layer, *parts)


def gradients(fields, *values):
    names = [f"x{i}" for i in range(len(values))]
    net = make_net(
        input_layer(**{name: (len(value),) for name, value in zip(names, values, strict=True)})
        + 'layer { name: "e" type: "Eltwise" top: "y" '
        + " ".join(f'bottom: "{name}"' for name in names)
        + f" eltwise_param {{ {fields} }} }} force_backward: true"
    )
    net.forward(**{name: np.float32(value) for name, value in zip(names, values, strict=True)})
    net.backward(y=np.ones(len(values[0]), np.float32))
    return [net.blobs[name].diff.tolist() for name in names]


def test_maximum_gives_the_gradient_of_a_tie_to_one():
    """Caffe's order: the second of the first two bottoms wins a tie, then the first bottom with the maximum."""
    found = gradients("operation: MAX", [1, 2, 0, 3], [1, 0, 0, 3], [1, 2, 1, 2], [0, 2, 1, 3])
    assert found == [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_product_with_a_zero():
    assert gradients("operation: PROD", [0, 2], [5, 3]) == [[5, 3], [0, 2]]
    (first, second) = gradients("operation: PROD stable_prod_grad: false", [0, 2], [5, 3])
    assert np.isnan(first[0])
    assert (first[1], second) == (3, [0, 2])


def test_eltwise_refused():
    with pytest.raises(CaffeError, match="one coeff per bottom"):
        make_layer('type: "Eltwise" eltwise_param { coeff: 2 }', (2, 3), (2, 3))
    with pytest.raises(CaffeError, match="not for PROD"):
        make_layer('type: "Eltwise" eltwise_param { operation: PROD coeff: 2 coeff: 1 }', (2, 3), (2, 3))
    with pytest.raises(CaffeError, match="one shape"):
        make_layer('type: "Eltwise"', (2, 3), (3, 2))
    with pytest.raises(CaffeError, match="2 or more bottom"):
        make_layer('type: "Eltwise"', (2, 3))
