"""Split, Silence and Input: the layers that only pass values on."""

import numpy as np
import pytest
from caffe import NetError

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient


def test_split(rng):
    x = rng.normal(size=(2, 3, 4))
    layer = make_layer('type: "Split"', x.shape, tops=3)
    assert len(forward(layer, x)) == 3
    for y in forward(layer, x):
        np.testing.assert_array_equal(y, x)
    check_gradient(layer, x)


def test_silence_hides_outputs():
    net = make_net(input_layer(a=(2,), b=(3,)) + 'layer { name: "s" type: "Silence" bottom: "a" bottom: "b" }')
    assert net.outputs == []
    assert net.forward() == {}


def test_input_shapes():
    assert make_layer('type: "Input" input_param { shape { dim: 2 dim: 3 } }', tops=2).top_shapes([]) == [(2, 3)] * 2
    net = make_net(input_layer(a=(2, 3), b=(4,)))
    assert net.inputs == ["a", "b"] and net.outputs == ["a", "b"]
    assert net.blobs["a"].shape == [2, 3] and net.blobs["b"].shape == [4]
    with pytest.raises(NetError, match="one shape or one per top"):
        make_layer('type: "Input" input_param { shape { dim: 2 } shape { dim: 2 } }', tops=3)


def test_input_is_only_written_by_the_user(rng):
    net = make_net(input_layer(a=(2, 3)))
    x = rng.normal(size=(2, 3)).astype(np.float32)
    net.blobs["a"].data[...] = x
    for _ in range(2):
        np.testing.assert_array_equal(net.forward()["a"], x)
