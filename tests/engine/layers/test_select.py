"""Filter and BatchReindex: values against NumPy's indexing, gradients, and what they refuse."""

import numpy as np
import pytest
import torch
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient

FILTER = (
    'layer { name: "f" type: "Filter" bottom: "a" bottom: "b" bottom: "s" top: "x" top: "y" }'
    'layer { name: "sum" type: "Reduction" bottom: "x" top: "sum" loss_weight: 1 reduction_param { operation: SUMSQ } }'
)


def test_filter_in_a_net(rng):
    """Tops change their shape with the selector, and layers above follow."""
    net = make_net(input_layer(a=(5, 2, 3), b=(5, 4), s=(5, 1)) + FILTER)
    assert net.blobs["x"].data.shape == (5, 2, 3)
    a, b = rng.normal(size=(5, 2, 3)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    for selector in ([0, 1, 0, 0, -2], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0.5, 0, 0, 0, 0]):
        net.forward(a=a, b=b, s=np.float32(selector)[:, None])
        np.testing.assert_array_equal(net.blobs["x"].data, a[np.array(selector) != 0])
        np.testing.assert_array_equal(net.blobs["y"].data, b[np.array(selector) != 0])
        np.testing.assert_allclose(net.blobs["sum"].data, (a[np.array(selector) != 0] ** 2).sum(), rtol=1e-5)


def test_filter_gradient(rng):
    layer = make_layer('type: "Filter"', (5, 3), (5, 2, 2), (5,), tops=2)
    check_gradient(layer, rng.normal(size=(5, 3)), rng.normal(size=(5, 2, 2)), np.array([0.0, 1, 1, 0, 7]), of=[0, 1])


def test_filter_refused():
    with pytest.raises(CaffeError, match=r"3 bottoms need 2 top\(s\), not 1"):
        make_layer('type: "Filter"', (5, 3), (5, 2), (5,))
    with pytest.raises(CaffeError, match="one value per record"):
        make_layer('type: "Filter"', (5, 3), (5, 2))
    with pytest.raises(CaffeError, match="equally many records"):
        make_layer('type: "Filter"', (5, 3), (4,))


def test_batch_reindex(rng):
    x = rng.normal(size=(3, 2, 4))
    order = [2, 0, 0, 1, 2]
    layer = make_layer('type: "BatchReindex"', x.shape, (5,))
    np.testing.assert_array_equal(forward(layer, x, np.float64(order))[0], x[order])
    check_gradient(layer, x, np.float64(order), of=[0])


@pytest.mark.parametrize("index", [-1, 3])
def test_batch_reindex_out_of_range(index):
    layer = make_layer('type: "BatchReindex"', (3, 2), (2,))
    with pytest.raises(CaffeError, match=f"index {index} is no record: there are 3"):
        forward(layer, np.zeros((3, 2)), np.float64([0, index]))


def test_batch_reindex_refused():
    with pytest.raises(CaffeError, match="must have one axis"):
        make_layer('type: "BatchReindex"', (3, 2), (2, 1))
    with pytest.raises(CaffeError, match="axis of records"):
        make_layer('type: "BatchReindex"', (), (2,))


@pytest.mark.parametrize("text, what", [('type: "BatchReindex"', "the indices"), ('type: "Filter"', "the selector")])
def test_no_gradient_for_what_selects(text, what):
    """Real Caffe aborts; to run forward alone is allowed."""
    layer = make_layer(text, (3, 2), (3,))
    (y,) = layer.forward([torch.zeros(3, 2), torch.ones(3, requires_grad=True)], [])
    with pytest.raises(CaffeError, match=f"no gradient with respect to {what}"):
        y.sum().backward()
