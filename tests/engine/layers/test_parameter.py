"""Parameter: an array that is learned and used as a blob."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import input_layer, make_layer, make_net


def test_it_is_learned_through_its_top():
    net = make_net(
        input_layer(x=(2, 3))
        + 'layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "y" type: "Eltwise" bottom: "x" bottom: "p" top: "y" eltwise_param { operation: PROD } }'
        'layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 2 }'
    )
    assert net.params["p"][0].data.tolist() == [[0, 0, 0], [0, 0, 0]]
    net.params["p"][0].data[...] = [[1, 2, 3], [4, 5, 6]]
    x = np.float32([[7, -1, 2], [3, 0, 5]])
    assert net.forward(x=x)["loss"] == 7 - 2 + 6 + 12 + 0 + 30
    np.testing.assert_array_equal(net.blobs["p"].data, [[1, 2, 3], [4, 5, 6]])
    net.backward()
    np.testing.assert_array_equal(net.params["p"][0].diff, 2 * x)


def test_one_number():
    assert make_layer('type: "Parameter" parameter_param { shape { } }').blobs[0].shape == []


def test_refused():
    with pytest.raises(CaffeError, match="negative dimension"):
        make_layer('type: "Parameter" parameter_param { shape { dim: 2 dim: -1 } }')
    with pytest.raises(CaffeError, match="takes 0 bottom"):
        make_layer('type: "Parameter"', (2, 3))
