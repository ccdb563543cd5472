"""Scale and Bias against loops, with parameters and with second bottoms, and what they refuse."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net, weights_of
from tests.engine.gradient_check import check_gradient

SHAPE = (2, 3, 5, 4)
GAUSSIAN = '{ type: "gaussian" }'
# fields -> the axes of the bottom that the parameter has
AXES = {
    "": (1,),
    "axis: 0": (0,),
    "axis: -1": (3,),
    "axis: 1 num_axes: 2": (1, 2),
    "axis: -3 num_axes: -1": (1, 2, 3),
    "num_axes: 0": (),
    "axis: 0 num_axes: -1": (0, 1, 2, 3),
}


def spread(x, small, axes, combine):
    y = np.empty_like(x)
    for place in np.ndindex(x.shape):
        y[place] = combine(x[place], small[tuple(place[axis] for axis in axes)])
    return y


@pytest.mark.parametrize("fields", AXES)
def test_scale_with_parameters(rng, fields):
    x = rng.normal(size=SHAPE)
    text = f'type: "Scale" scale_param {{ {fields} bias_term: true filler {GAUSSIAN} bias_filler {GAUSSIAN} }}'
    layer = make_layer(text, SHAPE)
    scale, bias = weights_of(layer)
    assert scale.shape == bias.shape == tuple(SHAPE[axis] for axis in AXES[fields])
    expected = spread(x, scale, AXES[fields], lambda a, b: a * b)
    expected = spread(expected, bias, AXES[fields], lambda a, b: a + b)
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12, atol=1e-12)
    check_gradient(layer, x)


@pytest.mark.parametrize("fields", AXES)
def test_bias_with_a_parameter(rng, fields):
    x = rng.normal(size=SHAPE)
    layer = make_layer(f'type: "Bias" bias_param {{ {fields} filler {GAUSSIAN} }}', SHAPE)
    (bias,) = weights_of(layer)
    expected = spread(x, bias, AXES[fields], lambda a, b: a + b)
    np.testing.assert_allclose(forward(layer, x)[0], expected, rtol=1e-12)
    check_gradient(layer, x)


@pytest.mark.parametrize("axis, axes", [(0, (0,)), (1, (1, 2)), (-2, (2, 3)), (0, (0, 1, 2, 3)), (3, ())])
@pytest.mark.parametrize("bias_term", [False, True])
def test_second_bottom(rng, axis, axes, bias_term):
    x, small = rng.normal(size=SHAPE), rng.normal(size=[SHAPE[a] for a in axes])
    text = f"axis: {axis} bias_term: {str(bias_term).lower()} bias_filler {GAUSSIAN}"
    scale = make_layer(f'type: "Scale" scale_param {{ {text} }}', SHAPE, small.shape)
    expected = spread(x, small, axes, lambda a, b: a * b)
    if bias_term:
        (bias,) = weights_of(scale)
        expected = spread(expected, bias, axes, lambda a, b: a + b)
    np.testing.assert_allclose(forward(scale, x, small)[0], expected, rtol=1e-12, atol=1e-12)
    check_gradient(scale, x, small)
    if not bias_term:
        bias = make_layer(f'type: "Bias" bias_param {{ axis: {axis} }}', SHAPE, small.shape)
        np.testing.assert_allclose(forward(bias, x, small)[0], spread(x, small, axes, lambda a, b: a + b), rtol=1e-12)
        check_gradient(bias, x, small)


def test_fillers_where_none_is_given():
    scale, bias = weights_of(make_layer('type: "Scale" scale_param { bias_term: true }', SHAPE))
    np.testing.assert_array_equal(scale, [1, 1, 1])
    np.testing.assert_array_equal(bias, [0, 0, 0])
    np.testing.assert_array_equal(weights_of(make_layer('type: "Bias"', SHAPE))[0], [0, 0, 0])


@pytest.mark.parametrize("views", [False, True], ids=["no views", "views taken before"])
def test_in_place(views):
    net = make_net(
        input_layer(x=(1, 2))
        + 'layer { name: "s" type: "Scale" bottom: "x" top: "x" scale_param { filler { value: 3 } } }'
        "force_backward: true"
    )
    if views:
        assert net.blobs["x"].data.sum() == 0
    net.forward(x=np.float32([[5, 7]]))
    net.backward(x=np.float32([[1, 10]]))
    np.testing.assert_array_equal(net.blobs["x"].data, [[15, 21]])
    np.testing.assert_array_equal(net.blobs["x"].diff, [[3, 30]])
    np.testing.assert_array_equal(net.params["s"][0].diff, [5, 70])


@pytest.mark.parametrize("type_", ["Scale", "Bias"])
def test_refused(type_):
    param = f"{type_.lower()}_param"
    with pytest.raises(CaffeError, match="num_axes must be"):
        make_layer(f'type: "{type_}" {param} {{ num_axes: -2 }}', SHAPE)
    with pytest.raises(CaffeError, match="3 axes from axis 2 on reach beyond"):
        make_layer(f'type: "{type_}" {param} {{ axis: 2 num_axes: 3 }}', SHAPE)
    with pytest.raises(CaffeError, match=r"shape \(5,\) does not fit"):
        make_layer(f'type: "{type_}"', SHAPE, (5,))
    with pytest.raises(CaffeError, match=r"shape \(3,\) does not fit"):
        make_layer(f'type: "{type_}"', SHAPE).top_shapes([(2, 4, 5, 3)])
