"""The memory that pycaffe's passes keep, within and between them; saving it never costs a right gradient."""

import caffe
import numpy as np
import pytest
from caffe._net.whole_net import WholeNet
from torch.multiprocessing.reductions import StorageWeakRef

from tests.engine.build import input_layer, make_net
from tests.engine.net.test_net import ip

CONVOLUTION = (
    'layer { name: "x" type: "Convolution" bottom: "data" top: "x" convolution_param { num_output: 4 kernel_size: 2 '
    'weight_filler { type: "gaussian" } } }\n'
)
BATCH_NORM = 'layer { name: "x" type: "BatchNorm" bottom: "data" top: "x" }\n'
SIGMOID = 'layer { name: "x" type: "Sigmoid" bottom: "data" top: "x" }\n'
IN_BETWEEN = {"convolution": CONVOLUTION, "inner product": ip("x", "data", outputs=5), "BatchNorm": BATCH_NORM}


def made(text, above="x"):
    above = ip("above", above, outputs=3)
    return make_net(input_layer(data=(6, 3, 4, 5)) + text + above + "force_backward: true")


def relu(top="x"):
    return f'layer {{ name: "relu" type: "ReLU" bottom: "x" top: "{top}" }}\n'


def storage(net, name):
    return net.blobs[name]._data.tensor().untyped_storage()


def gradients(net):
    return [net.blobs["data"].diff.copy(), *(blob.diff.copy() for blobs in net.params.values() for blob in blobs)]


@pytest.mark.parametrize("layer", [*IN_BETWEEN.values(), SIGMOID], ids=[*IN_BETWEEN, "Sigmoid, which reads its top"])
def test_a_relu_in_place_writes_over_what_no_backward_reads(rng, layer):
    net, plain = made(layer + relu()), made(layer + relu("y"), "y")
    for name, blobs in net.params.items():
        for blob, other in zip(blobs, plain.params[name], strict=True):
            other.data[...] = blob.data
    places = {}
    net.after_forward(lambda i: places.setdefault(net._layer_names[i], storage(net, "x").data_ptr()))
    x, above = rng.normal(size=(6, 3, 4, 5)), rng.normal(size=(6, 3))
    for each in (net, plain):
        each.forward(data=x)
        each.backward(above=above)
    assert (places["x"] == places["relu"]) == (layer is not SIGMOID)
    np.testing.assert_array_equal(net.blobs["x"].data, plain.blobs["y"].data)
    np.testing.assert_array_equal(net.blobs["x"].diff, plain.blobs["x"].diff)
    for here, there in zip(gradients(net), gradients(plain), strict=True):
        np.testing.assert_array_equal(here, there)


def test_a_pass_over_the_relu_alone_leaves_the_history_above_it(rng):
    """The layer above keeps the values that it read for backward; this pass must not overwrite them."""
    net = made(IN_BETWEEN["inner product"] + relu())
    net.forward(data=rng.normal(size=(6, 3, 4, 5)))
    above = rng.normal(size=(6, 3))
    net.backward(above=above)
    before = gradients(net)
    net.clear_param_diffs()
    net.forward(start="relu", end="relu")
    net.backward(above=above)
    for here, there in zip(gradients(net), before, strict=True):
        np.testing.assert_array_equal(here, there)


def test_values_are_gone_when_new_ones_are_computed(rng, monkeypatch):
    net = made(CONVOLUTION + relu())
    x = rng.normal(size=(6, 3, 4, 5))
    net.forward(data=x)
    old, gone = StorageWeakRef(storage(net, "x")), []
    layer = net.layers[net._layer_index("x")]
    compute = layer.compute
    monkeypatch.setattr(layer, "compute", lambda *values: gone.append(old.expired()) or compute(*values))
    net.forward(data=x)
    assert gone == [True]


def test_values_before_a_relu_that_is_not_in_place_are_kept(rng):
    net = made(CONVOLUTION + relu("y"), "y")
    net.forward(data=rng.normal(size=(6, 3, 4, 5)))
    assert net.blobs["x"].data.min() < 0 <= net.blobs["y"].data.min()


def test_a_view_stays_the_same_memory(rng):
    net = made(CONVOLUTION + relu())
    view = net.blobs["x"].data
    for _ in range(2):
        x = rng.normal(size=(6, 3, 4, 5))
        net.forward(data=x)
        assert np.shares_memory(view, net.blobs["x"].data) and view.min() == 0 < view.max()


AFTER = {
    "Bias": 'type: "Bias" bias_param { filler { type: "constant" value: 1 } }',
    "BatchNorm": 'type: "BatchNorm"',
    "Sigmoid": 'type: "Sigmoid"',
    "Scale": 'type: "Scale" scale_param { filler { type: "constant" value: -2 } }',
}


@pytest.mark.parametrize("layer", AFTER.values(), ids=AFTER)
def test_a_gradient_does_not_depend_on_earlier_views(rng, layer):
    """Another in-place layer follows a ReLU: a blob with a view has lost the values between them."""
    net = made(IN_BETWEEN["inner product"] + relu() + f'layer {{ name: "after" bottom: "x" top: "x" {layer} }}\n')
    x, above = rng.normal(size=(6, 3, 4, 5)), rng.normal(size=(6, 3))
    found = []
    for _ in range(2):
        net.forward(data=x)
        net.backward(above=above)
        found.append(gradients(net))
        net.clear_param_diffs()
        assert net.blobs["x"].data.shape == (6, 5)  # from the second pass on, a view exists
    for first, second in zip(*found, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-7)


def test_backward_alone_leaves_the_values(rng):
    """Like real Caffe's, it reads a top that the user has set and does not compute it."""
    net = made(IN_BETWEEN["inner product"])
    net.blobs["x"].data[...] = 7
    net.backward(above=rng.normal(size=(6, 3)))
    assert (net.blobs["x"].data == 7).all()


def test_a_shared_array_of_another_shape_goes_through_a_pass(rng):
    net = made(CONVOLUTION + relu())
    other = made(CONVOLUTION + relu())
    other.blobs["data"].reshape(18, 20)
    net.blobs["data"].share_data(other.blobs["data"])
    other.blobs["data"].data[...] = x = rng.normal(size=(18, 20))
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data.reshape(18, 20), x.astype(np.float32))


# Layers that pass a value or a gradient on unchanged; "b" is a second bottom, if any.
AS_IT_IS = {
    "Dropout in TEST": 'type: "Dropout" bottom: "a"',
    "Eltwise": 'type: "Eltwise" bottom: "a" bottom: "b"',
    "Tile of one": 'type: "Tile" bottom: "a" tile_param { tiles: 1 }',
    "Slice": 'type: "Slice" bottom: "a" top: "rest"',
    "Crop": 'type: "Crop" bottom: "a" bottom: "b" crop_param { axis: 3 }',
    "Bias": 'type: "Bias" bottom: "a" bottom: "b" bias_param { axis: 0 }',
    "Power": 'type: "Power" bottom: "a"',
}


@pytest.mark.parametrize("kind", AS_IT_IS)
def test_a_value_passed_on_unchanged_is_a_blob_of_its_own(rng, kind):
    shape = (4, 6, 3, 2)
    net = make_net(
        input_layer(a=shape, b=shape)
        + f'layer {{ name: "x" {AS_IT_IS[kind]} top: "x" }} '
        + 'layer { name: "relu" type: "ReLU" bottom: "x" top: "x" } force_backward: true',
        caffe.TEST,
    )
    a = rng.normal(size=shape).astype(np.float32)
    for _ in range(2):
        net.forward(a=a, b=a, end="x")
        net.blobs["x"].data  # noqa: B018  a view, which keeps its memory
        net.forward(start="relu")
        np.testing.assert_array_equal(net.blobs["a"].data, a)
    net.blobs["x"].diff[...] = 1
    net.backward()
    seen = [blob.diff for name, blob in net.blobs.items() if name in ("a", "b", "x")]
    for i, one in enumerate(seen):
        assert not any(np.shares_memory(one, other) for other in seen[:i])


def test_reshape_and_its_bottom_are_one_memory(rng):
    net = make_net(
        input_layer(a=(4, 6)) + 'layer { name: "x" type: "Reshape" bottom: "a" top: "x" '
        "reshape_param { shape { dim: 3 dim: -1 } } } force_backward: true"
    )
    net.forward(a=rng.normal(size=(4, 6)))
    net.backward(x=rng.normal(size=(3, 8)))
    a, x = net.blobs["a"], net.blobs["x"]
    assert a._data.tensor().data_ptr() == x._data.tensor().data_ptr()
    assert a._diff.tensor().data_ptr() == x._diff.tensor().data_ptr()


BRANCHES = (
    input_layer(data=(1, 4, 1, 1))
    + 'layer { name: "pw" type: "Power" bottom: "data" top: "pw" power_param { scale: 2 } } '
    + 'layer { name: "flat" type: "Flatten" bottom: "pw" top: "flat" } %s '
    + 'layer { name: "fl2" type: "Flatten" bottom: "pw" top: "fl2" } '
    + 'layer { name: "out" type: "Eltwise" bottom: "flat" bottom: "fl2" top: "out" }'
)


@pytest.mark.parametrize("looked", [False, True])
class TestSharing:
    """Blobs share as real Caffe's ShareData and ShareDiff do, whether or not a script has looked at them."""

    def net(self, looked, more=""):
        net = make_net(BRANCHES % more + "force_backward: true", caffe.TEST)
        if looked:
            assert all(blob.data.shape and blob.diff.shape for blob in net.blobs.values())
        return net

    def test_an_edit_is_seen_by_all_readers(self, looked):
        net = self.net(looked)
        net.forward(data=np.ones((1, 4, 1, 1)))
        net.blobs["pw"].data[...] = 5
        assert net.forward(start="flat")["out"].tolist() == [[10] * 4]
        net.blobs["flat"].data[...] = 3
        assert net.blobs["pw"].data.ravel().tolist() == [3] * 4
        assert net.forward(start="out")["out"].tolist() == [[6] * 4]

    def test_a_layer_in_place_writes_over_them_all(self, looked):
        """Real Caffe gives 0 8 0 16."""
        net = self.net(looked, 'layer { name: "relu" type: "ReLU" bottom: "flat" top: "flat" }')
        net.blobs["data"].data[...] = np.reshape([-1, 2, -3, 4], (1, 4, 1, 1))
        for _ in range(2):
            assert net.forward()["out"].tolist() == [[0, 8, 0, 16]]

    @pytest.mark.parametrize(
        "kind", ['type: "Reshape" reshape_param { shape { dim: 4 } }', 'type: "Concat"', 'type: "Slice"']
    )
    def test_values_and_gradients_of_what_hands_all_on(self, looked, kind):
        """A Reshape, a Concat of one bottom, a Slice into one top; an in-place layer overwrites its bottom too."""
        net = make_net(
            input_layer(data=(4, 1))
            + 'layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: 2 } } '
            + f'layer {{ name: "x" bottom: "p" top: "x" {kind} }} '
            + 'layer { name: "relu" type: "ReLU" bottom: "x" top: "x" } force_backward: true'
        )
        if looked:
            assert all(blob.data.shape and blob.diff.shape for blob in net.blobs.values())
        for _ in range(2):
            net.forward(data=np.reshape([-1, 2, -3, 4], (4, 1)))
            assert net.blobs["p"].data.ravel().tolist() == net.blobs["x"].data.ravel().tolist() == [0, 4, 0, 8]
        net.blobs["x"].diff.ravel()[...] = [1, 2, 3, 4]
        net.backward()
        assert net.blobs["data"].diff.ravel().tolist() == [0, 4, 0, 8]
        net.blobs["x"].diff[...] = 5
        assert net.blobs["p"].diff.ravel().tolist() == [5] * 4

    def test_a_gradient_written_into_a_dead_end_goes_nowhere(self, looked):
        net = make_net(
            input_layer(data=(1, 3)) + ip("c", "data") + 'layer { name: "f" type: "Flatten" bottom: "c" top: "f" } '
            'layer { name: "loss" type: "Reduction" bottom: "c" top: "loss" loss_weight: 1 }'
        )
        net.forward()
        if looked:
            assert net.blobs["c"].diff.shape == (1, 2)
        net.blobs["f"].diff[...] = 10
        net.backward()
        assert net.params["c"][1].diff.tolist() == [1, 1]

    def test_a_top_has_a_shape_of_its_own(self, looked):
        net = self.net(looked)
        net.forward(data=np.ones((1, 4, 1, 1)))
        for name, shape in (("flat", (2, 1)), ("flat", (3, 7)), ("pw_pw_0_split_1", (2, 2))):
            net.blobs[name].reshape(*shape)
            assert net.blobs[name].data.shape == shape
            assert net.blobs["pw"].shape == [1, 4, 1, 1]
            assert net.forward()["out"].tolist() == [[4] * 4]

    def test_another_size(self, looked):
        net = self.net(looked)
        for count in (3, 1, 6):
            net.blobs["data"].reshape(count, 4, 1, 1)
            assert net.blobs["flat"].data.ndim == 2, "before the net is reshaped too"
            net.blobs["data"].data[...] = count
            assert net.forward()["out"].tolist() == [[4 * count] * 4] * count
            assert net.blobs["flat"].shape == [count, 4]


def test_a_net_that_writes_over_a_split_is_not_run_as_a_whole():
    relu = 'layer { name: "relu" type: "ReLU" bottom: "flat" top: "flat" }'
    data = 'layer { name: "data" type: "Parameter" top: "data" parameter_param { shape { dim: [1, 4, 1, 1] } } }'
    for more, fits in (("", True), (relu, False)):
        assert WholeNet.fits(make_net(data + (BRANCHES % more).partition("\n")[2])) == fits
    alone = 'layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }' + relu
    assert WholeNet.fits(make_net(data + alone))


READERS = {
    "BatchNorm": 'type: "BatchNorm"',
    "InnerProduct": 'type: "InnerProduct" inner_product_param { num_output: 5 weight_filler { value: 0.1 } }',
    "TanH": 'type: "TanH"',
    "Power": 'type: "Power" power_param { power: 2 }',
}


@pytest.mark.parametrize("kind", READERS)
def test_gradients_do_not_depend_on_earlier_views(rng, kind):
    """An in-place layer overwrites, through a Flatten, values that another layer has read."""
    x, found = rng.normal(size=(6, 5)), []
    for looked in (False, True):
        net = make_net(
            input_layer(data=(6, 5))
            + 'layer { name: "c" type: "Power" bottom: "data" top: "c" power_param { scale: 1.5 shift: 0.1 } } '
            + f'layer {{ name: "b" bottom: "c" top: "b" {READERS[kind]} }} '
            + 'layer { name: "f" type: "Flatten" bottom: "c" top: "f" } '
            + 'layer { name: "relu" type: "ReLU" bottom: "f" top: "f" } force_backward: true'
        )
        if looked:
            assert net.blobs["c"].data.shape == (6, 5)
        net.forward(data=x)
        net.backward(b=np.cos(np.arange(30)).reshape(6, 5), f=np.zeros((6, 5)))
        found.append(gradients(net))
    for here, there in zip(*found, strict=True):
        np.testing.assert_array_equal(here, there)


def test_a_loss_weight_stays_when_the_batch_shrinks_and_grows_back():
    net = make_net(
        input_layer(data=(4, 2)) + 'layer { name: "p" type: "Power" bottom: "data" top: "p" loss_weight: 2 '
        "power_param { scale: 3 } } force_backward: true"
    )
    for count in (4, 2, 4):
        net.blobs["data"].reshape(count, 2)
        net.reshape()
        net.forward()
        assert net.backward()["data"].sum() == 12 * count
