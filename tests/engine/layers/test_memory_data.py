"""MemoryData and net.set_input_arrays."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import input_layer, make_net

TEXT = """layer { name: "m" type: "MemoryData" top: "data" top: "label" %s
    memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }"""


@pytest.fixture
def arrays(rng):
    return rng.normal(size=(6, 3, 4, 5)).astype(np.float32), np.arange(6, dtype=np.float32)


def test_batches_in_order_and_round(arrays):
    net = make_net(TEXT % "")
    assert net.blobs["data"].shape == [2, 3, 4, 5] and net.blobs["label"].shape == [2]
    net.set_input_arrays(*arrays)
    for first in (0, 2, 4, 0):
        tops = net.forward()
        np.testing.assert_array_equal(tops["data"], arrays[0][first : first + 2])
        assert tops["label"].shape == (2, 1, 1, 1) and tops["label"].ravel().tolist() == [first, first + 1]


def test_new_arrays_begin_at_their_start_and_are_not_copied(arrays):
    net = make_net(TEXT % "")
    net.set_input_arrays(*arrays)
    net.forward()
    net.set_input_arrays(arrays[0], arrays[1].reshape(6, 1, 1, 1))
    arrays[0][:] = 7
    assert (net.forward()["data"] == 7).all()
    assert net.blobs["label"].data.ravel().tolist() == [0, 1]


def test_state(arrays):
    net, other = make_net(TEXT % ""), make_net(TEXT % "")
    for each in (net, other):
        each.set_input_arrays(*arrays)
    net.forward()
    other.layers[0].set_state(net.layers[0].get_state())
    np.testing.assert_array_equal(other.forward()["data"], arrays[0][2:4])


def test_transformation_is_not_done_and_said_so(arrays, log_lines):
    net = make_net(TEXT % "transform_param { scale: 9 }")
    net.set_input_arrays(*arrays)
    np.testing.assert_array_equal(net.forward()["data"], arrays[0][:2])
    assert "MemoryData does not transform array data on Reset()" in log_lines


class TestRefused:
    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda x, y: (x[:5], y[:5]), "multiple of batch size 2"),
            (lambda x, y: (x[:0], y[:0]), "multiple of batch size 2"),
            (lambda x, y: (x, y[:4]), "same first dimension"),
            (lambda x, y: (x[:, :2].copy(), y), "data array must be of shape .num, 3, 4, 5."),
            (lambda x, y: (x[:, :, :, ::-1], y), "C contiguous"),
            (lambda x, y: (x.astype(np.float64), y), "float32, not float64"),
            (lambda x, y: (x, y.astype(int)), "labels array must be C contiguous float32"),
            (lambda x, y: (x, y[:, None]), "labels array must be of shape"),
        ],
    )
    def test_arrays(self, arrays, change, message):
        net = make_net(TEXT % "")
        with pytest.raises(CaffeError, match=message):
            net.set_input_arrays(*change(*arrays))

    def test_other_first_layer(self, arrays):
        with pytest.raises(CaffeError, match="first layer is a MemoryDataLayer"):
            make_net(input_layer(x=(2, 3))).set_input_arrays(*arrays)

    def test_no_arrays_yet(self):
        with pytest.raises(CaffeError, match="call net.set_input_arrays"):
            make_net(TEXT % "").forward()

    def test_sizes(self):
        with pytest.raises(CaffeError, match="must be specified and positive"):
            make_net((TEXT % "").replace("height: 4", ""))
