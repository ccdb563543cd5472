"""`share_mode: PERMISSIVE` gives one memory two shapes, with one gradient."""

import numpy as np
import pytest
from caffe import NetError

from tests.engine.build import input_layer, make_net

PERMISSIVE = "share_mode: PERMISSIVE"


def chain(mode=PERMISSIVE, outputs=3):
    """Two layers without bias and with one weight w, (4, 3) in the first and (outputs, 4) in the second."""
    rest = "bias_term: false weight_filler { type: 'gaussian' }"
    return make_net(
        input_layer(data=(2, 3))
        + 'layer { name: "wide" type: "InnerProduct" bottom: "data" top: "wide" param { name: "w" } '
        f"inner_product_param {{ num_output: 4 {rest} }} }}"
        f'layer {{ name: "narrow" type: "InnerProduct" bottom: "wide" top: "narrow" param {{ name: "w" {mode} }} '
        f"inner_product_param {{ num_output: {outputs} {rest} }} loss_weight: 1 }}"
    )


@pytest.fixture
def net():
    return chain()


def test_one_memory_in_two_shapes(net, rng):
    wide, narrow = net.params["wide"][0], net.params["narrow"][0]
    assert (wide.shape, narrow.shape) == ([4, 3], [3, 4])
    assert len(net._params.learnable) == 1
    np.testing.assert_array_equal(narrow.data, wide.data.reshape(3, 4))
    narrow.data[1, 2] = 7
    assert wide.data.ravel()[6] == 7
    wide.data[...] = rng.normal(size=(4, 3))
    np.testing.assert_array_equal(narrow.data.ravel(), wide.data.ravel())


def test_values_and_gradient(net, rng):
    x = rng.normal(size=(2, 3)).astype(np.float32)
    net.blobs["data"].data[...] = x
    net.forward()
    w = net.params["wide"][0].data.astype(np.float64)
    np.testing.assert_allclose(net.blobs["narrow"].data, x @ w.T @ w.reshape(3, 4).T, rtol=1e-5)
    net.clear_param_diffs()
    net.backward()
    top = np.ones((2, 3))
    of_narrow = top.T @ (x @ w.T)
    of_wide = (top @ w.reshape(3, 4)).T @ x
    np.testing.assert_allclose(net.params["wide"][0].diff, of_wide + of_narrow.reshape(4, 3), rtol=1e-5)
    np.testing.assert_allclose(net.params["narrow"][0].diff, of_wide.reshape(3, 4) + of_narrow, rtol=1e-5)


def test_a_snapshot_and_another_net_keep_it(net, tmp_path):
    net.save(tmp_path / "net.caffemodel")
    other = chain()
    other.copy_from(tmp_path / "net.caffemodel")
    np.testing.assert_array_equal(other.params["narrow"][0].data, net.params["narrow"][0].data)
    third = chain()
    third.share_with(net)
    net.params["narrow"][0].data[...] = 5
    assert (third.params["wide"][0].data == 5).all()


def test_log(log_lines):
    chain()
    assert "Sharing parameters 'w' owned by layer 'wide', param index 0" in log_lines


@pytest.mark.parametrize(
    "mode, outputs, message",
    [
        ("", 3, r"shape 4 3 \(12\) there, 3 4 \(12\) here \(share_mode: PERMISSIVE asks"),
        (PERMISSIVE, 5, r"shape 4 3 \(12\) there, 5 4 \(20\) here\.$"),
    ],
)
def test_refused(mode, outputs, message):
    with pytest.raises(NetError, match=message):
        chain(mode, outputs)
