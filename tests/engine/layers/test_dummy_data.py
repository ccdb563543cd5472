"""DummyData: shapes, constants that are filled once, and what is drawn anew."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import make_net


def dummy(text, tops="a b"):
    names = " ".join(f'top: "{top}"' for top in tops.split())
    return make_net(f'layer {{ name: "d" type: "DummyData" {names} dummy_data_param {{ {text} }} }}')


def test_shapes_and_constants():
    net = dummy("shape { dim: 4 } shape { dim: 2 dim: 3 } data_filler { value: 1.5 }")
    # They are there before the first pass.
    assert net.blobs["a"].shape == [4] and net.blobs["b"].shape == [2, 3]
    assert (net.blobs["a"].data == 1.5).all() and (net.blobs["b"].data == 1.5).all()
    assert not dummy("shape { dim: 4 }").blobs["b"].data.any()


def test_older_dimensions():
    net = dummy("num: 5 channels: 3 channels: 4 height: 2 width: 1 width: 6")
    assert net.blobs["a"].shape == [5, 3, 2, 1] and net.blobs["b"].shape == [5, 4, 2, 6]


def test_constants_stay_as_the_user_leaves_them_and_others_are_drawn_anew():
    net = dummy("shape { dim: 50 } data_filler { value: 3 } data_filler { type: 'uniform' min: 1 max: 2 }")
    assert not net.blobs["b"].data.any()
    net.blobs["a"].data[7] = -1
    seen = [net.forward()["b"].copy() for _ in range(2)]
    assert net.blobs["a"].data[7] == -1 and (np.delete(net.blobs["a"].data, 7) == 3).all()
    assert all((1 <= x).all() and (x < 2).all() for x in seen)
    assert not np.array_equal(*seen)


def test_one_filler_draws_for_each_top():
    net = dummy("shape { dim: 50 } data_filler { type: 'gaussian' }")
    net.forward()
    assert not np.array_equal(net.blobs["a"].data, net.blobs["b"].data)


@pytest.mark.parametrize(
    "text, message",
    [
        ("shape { dim: 2 } shape { dim: 2 } shape { dim: 2 }", "'shape' once, or once per top blob .2.; specified 3"),
        ("", "'shape' once, or once per top"),
        ("num: 1 channels: 1 height: 1", "'width' once"),
        ("num: 1 shape { dim: 2 }", "both shape and the older"),
        ("shape { dim: 2 } data_filler { } data_filler { } data_filler { }", "number of data fillers"),
        ("shape { dim: 2 } data_filler { type: 'gausian' }", "Unknown filler: gausian"),
    ],
)
def test_refused(text, message):
    with pytest.raises(CaffeError, match=message):
        dummy(text).forward()
