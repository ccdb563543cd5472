"""forward_all and forward_backward_all: more inputs than a batch holds."""

import numpy as np
import pytest
from caffe import NetError

from tests.engine.build import input_layer, make_net
from tests.engine.net.test_net import ip, loss

NET = "force_backward: true " + input_layer(data=(4, 3)) + ip("a", "data", outputs=5) + ip("b", "a")


@pytest.fixture
def net():
    return make_net(NET)


def expected(net, x):
    weights = [p.data.astype(np.float64) for name in ("a", "b") for p in net.params[name]]
    hidden = x @ weights[0].T + weights[1]
    return hidden, hidden @ weights[2].T + weights[3]


@pytest.mark.parametrize("length", [1, 3, 4, 8, 9, 11])
def test_forward_all(net, rng, length):
    """The outputs are as long as the inputs, without the last batch's padding."""
    x = rng.normal(size=(length, 3))
    outs = net.forward_all(blobs=["a"], data=x)
    hidden, out = expected(net, x)
    assert set(outs) == {"a", "b"}
    np.testing.assert_allclose(outs["a"], hidden, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outs["b"], out, rtol=1e-5, atol=1e-6)


def test_batches_and_padding(net):
    x = np.arange(15).reshape(5, 3)
    first, last = net._batch({"data": x})
    np.testing.assert_array_equal(first["data"], x[:4])
    np.testing.assert_array_equal(last["data"], [[12, 13, 14], [0, 0, 0], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("length", [4, 6])
def test_forward_backward_all(net, rng, length):
    x, above = rng.normal(size=(length, 3)), rng.normal(size=(length, 2))
    outs, diffs = net.forward_backward_all(blobs=["a"], diffs=["a"], data=x, b=above)
    hidden, out = expected(net, x)
    weights = {name: net.params[name][0].data for name in ("a", "b")}
    np.testing.assert_allclose(outs["b"], out, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outs["a"], hidden, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(diffs["a"], above @ weights["b"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(diffs["data"], above @ weights["b"] @ weights["a"], rtol=1e-5, atol=1e-6)


def test_forward_backward_all_with_a_loss(rng):
    """If no gradients are given, the loss's own are used; the loss itself is one number a batch."""
    net = make_net("force_backward: true " + input_layer(data=(4, 3), label=(4,)) + ip("a", "data") + loss("a", "l"))
    x, label = rng.normal(size=(8, 3)), rng.integers(0, 2, 8)
    outs, diffs = net.forward_backward_all(data=x, label=label)
    for batch in (slice(0, 4), slice(4, 8)):
        net.forward(data=x[batch], label=label[batch])
        np.testing.assert_array_equal(outs["l"][batch.start // 4], net.blobs["l"].data)
        np.testing.assert_array_equal(diffs["data"][batch], net.backward()["data"])


def test_refused(net):
    with pytest.raises(NetError, match="at least one"):
        net.forward_all()
    with pytest.raises(NetError, match="nothing to run"):
        net.forward_backward_all()
    with pytest.raises(NetError, match="one length"):
        net.forward_all(data=np.zeros((2, 3)), other=np.zeros((3, 3)))
    with pytest.raises(NetError, match="Neither inputs nor outputs of the net: dta"):
        net.forward_backward_all(dta=np.zeros((2, 3)))
    with pytest.raises(NetError, match="not the net's"):
        net.forward_all(dta=np.zeros((2, 3)))
