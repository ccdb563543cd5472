"""Flatten, Reshape, Tile and Crop: shapes worked out by hand, values against NumPy, and what they refuse."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, make_layer
from tests.engine.gradient_check import check_gradient


@pytest.mark.parametrize(
    "fields, shape",
    [
        ("", (2, 60)),
        ("axis: 0", (120,)),
        ("axis: 2", (2, 3, 20)),
        ("axis: 1 end_axis: 2", (2, 15, 4)),
        ("axis: -3 end_axis: -2", (2, 15, 4)),
        ("axis: 3", (2, 3, 5, 4)),
        ("axis: 2 end_axis: 1", (2, 3, 1, 5, 4)),
    ],
)
def test_flatten(rng, fields, shape):
    x = rng.normal(size=(2, 3, 5, 4))
    layer = make_layer(f'type: "Flatten" flatten_param {{ {fields} }}', x.shape)
    np.testing.assert_array_equal(forward(layer, x)[0], x.reshape(shape))


def test_flatten_refused():
    with pytest.raises(CaffeError, match="must not come after"):
        make_layer('type: "Flatten" flatten_param { axis: 3 end_axis: 1 }', (2, 3, 5, 4))
    with pytest.raises(CaffeError, match="axis 4 is out of range"):
        make_layer('type: "Flatten" flatten_param { end_axis: 4 }', (2, 3, 5, 4))
    with pytest.raises(CaffeError, match="in place"):
        make_layer('type: "Flatten" bottom: "x" top: "x"', (2, 3))


@pytest.mark.parametrize(
    "fields, shape",
    [
        ("shape { dim: 10 dim: 12 }", (10, 12)),
        ("shape { dim: 0 dim: -1 }", (2, 60)),
        ("shape { dim: 0 dim: 0 dim: 2 dim: -1 }", (2, 3, 2, 10)),
        ("shape { dim: -1 } axis: 1", (2, 60)),
        ("shape { dim: 5 dim: 3 } axis: 1 num_axes: 2", (2, 5, 3, 4)),
        ("shape { dim: 0 dim: -1 } axis: 2", (2, 3, 5, 4)),
        ("shape { dim: -1 } axis: -3 num_axes: 2", (2, 3, 20)),
        ("shape { dim: 1 dim: 1 } axis: 2 num_axes: 0", (2, 3, 1, 1, 5, 4)),
        ("shape { dim: 1 } axis: -1 num_axes: 0", (2, 3, 5, 4, 1)),
        ("shape { dim: -1 } axis: 4", (2, 3, 5, 4, 1)),
    ],
)
def test_reshape(rng, fields, shape):
    x = rng.normal(size=(2, 3, 5, 4))
    layer = make_layer(f'type: "Reshape" reshape_param {{ {fields} }}', x.shape)
    (y,) = forward(layer, x)
    assert y.shape == shape
    np.testing.assert_array_equal(y, x.reshape(shape))


def test_reshape_follows_another_batch_size():
    layer = make_layer('type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: 2 } }', (2, 3, 4))
    assert layer.top_shapes([(7, 3, 4)]) == [(7, 6, 2)]


@pytest.mark.parametrize(
    "fields, message",
    [
        ("shape { dim: -1 dim: -1 }", "single -1"),
        ("shape { dim: -2 }", "dimension of -2"),
        ("shape { dim: 7 dim: -1 }", "cannot be divided among 7"),
        ("shape { dim: 7 }", "does not hold the 24 values"),
        ("shape { dim: 0 } axis: 3", "no axis 3"),
        ("axis: 4", "axis 4 is out of range"),
        ("axis: -5", "axis -5 is out of range"),
        ("num_axes: -2", "num_axes must be"),
        ("axis: 2 num_axes: 2", "reach beyond"),
    ],
)
def test_reshape_refused(fields, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "Reshape" reshape_param {{ {fields} }}', (2, 3, 4))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_tile(rng, axis):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer(f'type: "Tile" tile_param {{ axis: {axis} tiles: 3 }}', x.shape)
    np.testing.assert_array_equal(forward(layer, x)[0], np.concatenate([x, x, x], axis))
    check_gradient(layer, x)


def test_tile_refused():
    with pytest.raises(CaffeError, match="tiles must be 1 or more"):
        make_layer('type: "Tile"', (2, 3))


@pytest.mark.parametrize(
    "fields, size, window",
    [
        ("", (9, 9, 3, 2), np.s_[:, :, :3, :2]),
        ("offset: 1", (1, 1, 4, 3), np.s_[:, :, 1:5, 1:4]),
        ("offset: 3 offset: 1", (1, 1, 2, 3), np.s_[:, :, 3:5, 1:4]),
        ("axis: 1 offset: 1 offset: 0 offset: 2", (7, 2, 5, 2), np.s_[:, 1:3, :, 2:4]),
        ("axis: -1 offset: 3", (7, 7, 7, 1), np.s_[:, :, :, 3:4]),
        ("axis: 0", (1, 2, 3, 4), np.s_[:1, :2, :3, :4]),
    ],
)
def test_crop(rng, fields, size, window):
    x = rng.normal(size=(2, 3, 5, 4))
    layer = make_layer(f'type: "Crop" crop_param {{ {fields} }}', x.shape, size)
    np.testing.assert_array_equal(forward(layer, x, np.zeros(size))[0], x[window])
    check_gradient(layer, x, np.zeros(size), of=[0])


@pytest.mark.parametrize(
    "fields, size, message",
    [
        ("offset: 1 offset: 2 offset: 0", (2, 3, 2, 2), "one offset or one per cropped axis, not 3 for 2"),
        ("offset: 2", (2, 3, 4, 2), "axis 2: size 4 from offset 2 does not fit into the data's 5"),
        ("", (2, 3, 5), "must have the axes"),
        ("axis: 4", (2, 3, 5, 4), "out of range"),
    ],
)
def test_crop_refused(fields, size, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(f'type: "Crop" crop_param {{ {fields} }}', (2, 3, 5, 4), size)
