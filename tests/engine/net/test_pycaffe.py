"""pycaffe's Net: views of blobs, reshape, forward and backward with start and end, weights."""

import numpy as np
import pytest
from caffe import TEST, TRAIN, Net, NetError, SnapshotError
from caffe._blob import Blob
from caffe._files import prototxt as _prototxt
from caffe.proto import caffe_pb2

from tests.engine.build import input_layer, make_net
from tests.engine.net.test_net import DATA, ip, loss

NET = "force_backward: true " + input_layer(data=(4, 3)) + ip("a", "data", outputs=5) + ip("b", "a")


@pytest.fixture
def net():
    return make_net(NET)


class TestViews:
    def test_view_shows_later_passes(self, net, rng):
        views = {name: blob.data for name, blob in net.blobs.items()}
        diffs = {name: blob.diff for name, blob in net.blobs.items()}
        for _ in range(3):
            x = rng.normal(size=(4, 3)).astype(np.float32)
            net.forward(data=x)
            weight, bias = (p.data for p in net.params["a"])
            np.testing.assert_allclose(views["a"], x @ weight.T + bias, rtol=1e-5, atol=1e-6)
            above = rng.normal(size=(4, 2)).astype(np.float32)
            net.backward(b=above)
            np.testing.assert_allclose(diffs["a"], above @ net.params["b"][0].data, rtol=1e-5, atol=1e-6)

    def test_writes_are_seen(self, net, rng):
        weight, bias = (p.data for p in net.params["b"])
        weight[...], bias[...] = 0, [7, -8]
        net.forward(data=rng.normal(size=(4, 3)))
        np.testing.assert_array_equal(net.blobs["b"].data, np.tile([7, -8], (4, 1)))
        weight[0, 0] = 1
        net.forward()
        np.testing.assert_allclose(net.blobs["b"].data[:, 0], 7 + net.blobs["a"].data[:, 0], rtol=1e-6)

    def test_write_between_layers(self, net):
        net.forward()
        net.blobs["a"].data[...] = 1
        net.forward(start="b")
        expected = net.params["b"][0].data.sum(1) + net.params["b"][1].data
        np.testing.assert_allclose(net.blobs["b"].data[2], expected, rtol=1e-5)

    def test_written_diff_starts_backward(self, net):
        net.forward()
        net.blobs["b"].diff[...] = 1
        net.backward()
        np.testing.assert_array_equal(net.params["b"][1].diff, [4, 4])

    def test_views_are_float32_writable_and_contiguous(self, net):
        net.forward()
        for blob in net.blobs.values():
            for view in (blob.data, blob.diff):
                assert view.dtype == np.float32 and view.flags.writeable and view.flags.c_contiguous

    def test_channels_last_result_is_a_plain_array(self, rng):
        net = make_net(input_layer(data=(2, 3, 6, 5)) + 'layer { name: "c" type: "Convolution" bottom: "data" '
                       'top: "c" convolution_param { num_output: 4 kernel_size: 2 '
                       'weight_filler { type: "gaussian" } } }')  # fmt: skip
        x = rng.normal(size=(2, 3, 6, 5)).astype(np.float32)
        first = net.forward(data=x)["c"]
        assert first.flags.c_contiguous
        copy = first.copy()
        net.forward(data=2 * x)
        np.testing.assert_allclose(first, 2 * copy, rtol=1e-5)


class TestBlob:
    def test_shape_names_and_count(self):
        blob = Blob((2, 3, 4, 5))
        assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 4, 5, 120)
        assert blob.shape_string() == "2 3 4 5 (120)"
        assert Blob((6,)).channels == 1 and Blob(()).count == 1
        with pytest.raises(NetError, match="up to 4 axes"):
            Blob((1, 2, 3, 4, 5)).num  # noqa: B018

    def test_reshape_keeps_values_and_a_views_memory(self):
        """As far as the memory suffices, also for growing back."""
        blob = Blob((2, 3))
        blob.data[...] = np.arange(6).reshape(2, 3)
        blob.reshape(3, 2)
        np.testing.assert_array_equal(blob.data, np.arange(6).reshape(3, 2))
        held = blob.data
        blob.reshape(2, 2)
        np.testing.assert_array_equal(blob.data, [[0, 1], [2, 3]])
        blob.data[...] = 7
        blob.reshape(6)
        np.testing.assert_array_equal(blob.data, [7, 7, 7, 7, 4, 5])
        assert np.shares_memory(held, blob.data) and held[0, 0] == 7
        blob.reshape(7)
        np.testing.assert_array_equal(blob.data, np.zeros(7))
        assert not np.shares_memory(held, blob.data)
        with pytest.raises(NetError, match="negative"):
            blob.reshape(-1, 4)

    def test_accumulate_leaves_the_gradient_it_was_given_alone(self):
        import torch

        blob, gradient = Blob((3,)), torch.ones(3)
        for _ in range(3):
            blob.accumulate_diff(gradient)
        assert blob.diff.tolist() == [3, 3, 3] and gradient.tolist() == [1, 1, 1]


class TestReshape:
    def test_reshape_spreads(self, net, rng):
        net.blobs["data"].reshape(7, 3)
        net.reshape()
        assert net.blobs["b"].shape == [7, 2]
        assert net.forward(data=rng.normal(size=(7, 3)))["b"].shape == (7, 2)

    def test_forward_reshapes_by_itself(self, net, rng):
        net.forward()
        net.blobs["data"].reshape(6, 3)
        net.blobs["data"].data[...] = x = rng.normal(size=(6, 3)).astype(np.float32)
        out = net.forward()["b"]
        hidden = x @ net.params["a"][0].data.T + net.params["a"][1].data
        np.testing.assert_allclose(out, hidden @ net.params["b"][0].data.T, rtol=1e-4, atol=1e-5)

    def test_shape_that_does_not_fit_the_weights(self, net):
        net.blobs["data"].reshape(4, 9)
        with pytest.raises(NetError, match="'a'.*made for 3 inputs"):
            net.reshape()
        with pytest.raises(NetError, match="'a'.*made for 3 inputs"):
            net.forward()


class TestPasses:
    def test_forward_returns_outputs_and_asked_blobs(self, net):
        assert set(net.forward()) == {"b"}
        assert set(net.forward(blobs=["a"])) == {"a", "b"}
        assert set(net.forward(end="a")) == {"a"}

    def test_forward_from_to(self, net, rng):
        net.forward(data=rng.normal(size=(4, 3)))
        b = net.blobs["b"].data.copy()
        net.blobs["data"].data[...] = 0
        net.forward(end="a")
        np.testing.assert_array_equal(net.blobs["b"].data, b)
        net.forward(start="b", end="b")
        assert not np.array_equal(net.blobs["b"].data, b)

    def test_backward_returns_and_stops(self, net, rng):
        net.forward(data=rng.normal(size=(4, 3)))
        above = rng.normal(size=(4, 2))
        assert set(net.backward(b=above)) == {"data"}
        assert set(net.backward(diffs=["a"], b=above)) == {"a", "data"}
        net.clear_param_diffs()
        assert set(net.backward(b=above, end="b")) == {"a"}
        assert not net.params["a"][0].diff.any()

    def test_callbacks(self, net):
        calls = []
        for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
            getattr(net, when)(lambda i, when=when: calls.append((when, i)))
        net.forward(end="a")
        net.backward(start="a")
        assert calls == [
            (f"{when}_{way}", i)
            for way, layers in (("forward", (0, 1)), ("backward", (1, 0)))
            for i in layers
            for when in ("before", "after")
        ]

    def test_refused(self, net):
        with pytest.raises(NetError, match=r"not the net's \(data\)"):
            net.forward(dta=np.zeros((4, 3)))
        with pytest.raises(NetError, match="batch sized"):
            net.forward(data=np.zeros((5, 3)))
        with pytest.raises(NetError, match="no layer 'aa'"):
            net.forward(start="aa")


class TestLookingAtIt:
    def test_ids_of_bottoms_and_tops(self, net):
        assert [net._bottom_ids(i) for i in range(3)] == [[], [0], [1]]
        assert [net._top_ids(i) for i in range(3)] == [[0], [1], [2]]
        assert (list(net._blob_names), list(net._layer_names)) == (["data", "a", "b"], ["input", "a", "b"])
        assert (net._inputs, net._outputs, net._blob_loss_weights) == ([0], [2], [0, 0, 0])
        assert net._blobs[1] is net.blobs["a"]

    def test_layers(self, net):
        assert [layer.type for layer in net.layers] == ["Input", "InnerProduct", "InnerProduct"]
        assert net.layer_dict["b"] is net.layers[2]
        assert net.layers[1].blobs is net.params["a"]
        assert list(net.params) == ["a", "b"] and list(net.blob_loss_weights) == ["data", "a", "b"]

    def test_what_is_no_blob_is_no_parameter(self, net):
        with pytest.raises(TypeError, match=r"set their values with \[i\].data"):
            net.params["a"][0] = np.zeros((5, 3))
        assert isinstance(net.params["a"][0], Blob)

    def test_the_dictionaries_are_the_nets_own(self, net):
        """An entry that a script removes stays removed, as in pycaffe."""
        for name in ("blobs", "params", "layer_dict", "top_names", "bottom_names"):
            assert getattr(net, name) is getattr(net, name)

    def test_an_unknown_layer_is_a_value_error_too(self, net):
        for error in (NetError, ValueError):
            with pytest.raises(error, match="There is no layer 'aa'. Did you mean a"):
                net.forward(start="aa")


class TestFiles:
    @pytest.fixture
    def prototxt(self, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_text(DATA + ip("a", "data") + loss("a", more="include { phase: TRAIN }"))
        return path

    def test_arguments_in_both_orders(self, prototxt, tmp_path):
        net = Net(str(prototxt), TRAIN)
        weights = tmp_path / "net.caffemodel"
        net.save(weights)
        for again in (Net(prototxt, TEST, weights=str(weights)), Net(str(prototxt), str(weights), TEST)):
            assert again.phase == TEST and again._layer_names == ["input", "a"]
            for mine, theirs in zip(again.params["a"], net.params["a"], strict=True):
                np.testing.assert_array_equal(mine.data, theirs.data)
        for wrong in (7, "TEST", -1):
            with pytest.raises(TypeError, match=f"phase is caffe.TRAIN or caffe.TEST, not.*{wrong}"):
                Net(str(prototxt), wrong)
        with pytest.raises(TypeError, match="phase"):
            Net(str(prototxt))

    def test_older_form_gets_a_message(self, prototxt, tmp_path, log_lines):
        weights = str(tmp_path / "net.caffemodel")
        Net(prototxt, TEST).save(weights)
        assert not [line for line in log_lines if "DEPRECATION" in line]
        Net(str(prototxt), weights, TEST)
        (line,) = [line for line in log_lines if "DEPRECATION" in line]
        assert line.endswith(f"Net('{prototxt}', 1, weights='{weights}')")

    def test_stages_and_level(self, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_text(DATA + ip("a", "data", more="include { stage: 'x' min_level: 2 }"))
        assert Net(str(path), TEST, level=2, stages=["x"])._layer_names == ["input", "a"]
        assert Net(str(path), TEST, level=1, stages=["x"])._layer_names == ["input"]

    def test_a_message_takes_phase_level_and_stages_too(self, tmp_path):
        text = DATA + ip("a", "data", more="include { stage: 'x' min_level: 2 phase: TRAIN }")
        param = _prototxt.parse(text, caffe_pb2.NetParameter(), "net")
        given = param.SerializeToString()
        net = Net(param, TRAIN, level=2, stages=["x"])
        assert net._layer_names == ["input", "a"] and net.phase == TRAIN
        assert Net(param)._layer_names == Net(param, TEST)._layer_names == ["input"]
        assert param.SerializeToString() == given
        with pytest.raises(TypeError, match="needs the phase where level or stages"):
            Net(param, stages=["x"])

    def test_weights_by_layer_name(self, prototxt, tmp_path, log_lines):
        wide = make_net(DATA + ip("a", "data") + ip("extra", "a"))
        wide.save(tmp_path / "w.caffemodel")
        net = Net(str(prototxt), TEST)
        net.copy_from(tmp_path / "w.caffemodel")
        np.testing.assert_array_equal(net.params["a"][0].data, wide.params["a"][0].data)
        assert "Ignoring source layer extra" in log_lines

    def test_wrong_shape_changes_nothing(self, tmp_path):
        net = make_net(DATA + ip("z", "data") + ip("a", "z"))
        other = make_net(DATA + ip("z", "data") + ip("a", "z", outputs=5))
        other.save(tmp_path / "o.caffemodel")
        before = net.params["z"][0].data.copy()
        with pytest.raises(SnapshotError, match=r"'a'; shape mismatch. Source param shape is \(5, 2\)"):
            net.copy_from(tmp_path / "o.caffemodel")
        np.testing.assert_array_equal(net.params["z"][0].data, before)

    def test_share_with(self, rng):
        one, two = make_net(NET), make_net(NET)
        two.share_with(one)
        one.params["a"][0].data[...] = 5
        assert (two.params["a"][0].data == 5).all()
        three = make_net(input_layer(data=(4, 3)) + ip("a", "data", outputs=4))
        with pytest.raises(NetError, match="Cannot share weights of layer 'a'"):
            three.share_with(one)
