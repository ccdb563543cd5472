"""Layers that share a name, or have none: each keeps its own weights, and a message informs the user."""

import numpy as np
import pytest
from caffe import TEST, NetError, SnapshotError, get_solver
from caffe._commands.summary import measure
from caffe._files import prototxt
from caffe.proto import caffe_pb2

from tests.engine.build import input_layer, make_net


def ip(name, bottom, top, outputs, more=""):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {more} '
        f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}\n'
    )


def in_place(name, kind, blob):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{blob}" top: "{blob}" }}\n'


IMAGES = input_layer(x=(2, 3, 5, 4)) + (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "y" '
    'convolution_param { num_output: 6 kernel_size: 2 weight_filler { type: "gaussian" } } }\n'
)
NETS = {
    "three alike": input_layer(x=(2, 5)) + "".join(ip("fc", x, y, 5) for x, y in ("xa", "ab", "bc")),
    "of other sizes": input_layer(x=(2, 5)) + ip("fc", "x", "a", 7) + ip("fc", "a", "b", 3),
    "without a name, ReLUs between": input_layer(x=(2, 5))
    + "".join(ip("", x, y, 5) + in_place("", "ReLU", y) for x, y in ("xa", "ab")),
    "in place on one blob": IMAGES + "".join(in_place("c", kind, "y") for kind in ("PReLU", "BatchNorm", "PReLU")),
    "one blob read twice": input_layer(x=(2, 5))
    + ip("fc", "x", "a", 5)
    + ip("fc", "a", "b", 5)
    + ip("fc", "a", "c", 5),
}


def fill(net, seed):
    random = np.random.default_rng(seed)
    for layer in net._layers:
        for blob in layer.blobs:
            blob.data[...] = random.normal(size=blob.data.shape)
    return net


def values(net):
    return [blob.data.copy() for layer in net._layers for blob in layer.blobs]


def assert_same(one, two):
    for a, b in zip(values(one), values(two), strict=True):
        np.testing.assert_array_equal(a, b)


def constants(net):
    """The first number of each layer with weights."""
    return [float(layer.blobs[0].data.flat[0]) for layer in net._layers if layer.blobs]


def set_constants(net, *numbers):
    layers = [layer for layer in net._layers if layer.blobs]
    for layer, number in zip(layers, numbers, strict=True):
        for blob in layer.blobs:
            blob.data[...] = number
    return net


def warnings(log_lines, *words):
    return [line for line in log_lines if all(word in line for word in words)]


@pytest.mark.parametrize("text", NETS.values(), ids=NETS)
class TestEachHasItsOwn:
    def test_from_its_own_file(self, tmp_path, text):
        net = fill(make_net(text), 1)
        net.save(tmp_path / "w.caffemodel")
        other = fill(make_net(text), 2)
        other.copy_from(tmp_path / "w.caffemodel")
        assert_same(other, net)

    def test_shared(self, text):
        net, other = fill(make_net(text), 1), fill(make_net(text), 2)
        other.share_with(net)
        assert_same(other, net)
        fill(net, 3)
        assert_same(other, net)

    def test_from_a_file_of_before_2014(self, tmp_path, text):
        """Layers are in the field `layers` there, with types as numbers."""
        net = fill(make_net(text), 1)
        old = caffe_pb2.NetParameter(name="old")
        for layer in net._layers:
            new = old.layers.add(name=layer.name, top=layer.param.top, type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
            for blob in layer.blobs:
                new.blobs.add(shape=caffe_pb2.BlobShape(dim=blob.shape), data=blob.data.ravel())
        (tmp_path / "w.caffemodel").write_bytes(old.SerializeToString())
        other = fill(make_net(text), 2)
        other.copy_from(tmp_path / "w.caffemodel")
        assert_same(other, net)


class TestMoreOrFewer:
    def test_a_file_with_one_for_two(self, tmp_path, log_lines):
        make = lambda *tops: make_net(input_layer(x=(2, 5)) + "".join(ip("fc", "x", top, 5) for top in tops))  # noqa: E731
        set_constants(make("b"), 4).save(tmp_path / "one.caffemodel")
        set_constants(make("b"), 6).save_hdf5(tmp_path / "one.h5")
        net = set_constants(make("a", "b"), 7, 8)
        net.copy_from(tmp_path / "one.caffemodel")
        assert constants(net) == [7, 4]  # the top identifies the layer
        (line,) = warnings(log_lines, "one.caffemodel has weights of 1 layer(s) named 'fc'")
        assert "layer 3: InnerProduct, x -> b, got those of number 1" in line
        assert "layer 2: InnerProduct, x -> a, got none and keeps its own" in line
        net.load_hdf5(tmp_path / "one.h5")
        assert constants(net) == [6, 4]  # HDF5 files hold no tops
        (line,) = warnings(log_lines, "one.h5 has weights of 1 layer(s) named 'fc'", "Only their order could decide")
        assert "layer 2: InnerProduct, x -> a, got those of number 1" in line
        assert "layer 3: InnerProduct, x -> b, got none and keeps its own" in line

    def test_a_file_with_three_for_one(self, tmp_path, log_lines):
        set_constants(make_net(NETS["three alike"]), 1, 2, 3).save(tmp_path / "three.caffemodel")
        net = set_constants(make_net(input_layer(x=(2, 5)) + ip("fc", "x", "b", 5)), 7)
        net.copy_from(tmp_path / "three.caffemodel")
        assert constants(net) == [2]
        (line,) = warnings(log_lines, "three.caffemodel has weights of 3 layer(s) named 'fc'")
        assert "layer 2: InnerProduct, x -> b, got those of number 2; numbers 1, 3 are ignored" in line

    def test_renamed_blobs_leave_the_order(self, tmp_path, log_lines):
        set_constants(make_net(NETS["three alike"]), 1, 2, 3).save(tmp_path / "three.caffemodel")
        text = input_layer(x=(2, 5)) + "".join(ip("fc", x, y, 5) for x, y in ("xp", "pq", "qr"))
        net = make_net(text)
        net.copy_from(tmp_path / "three.caffemodel")
        assert constants(net) == [1, 2, 3]
        assert not warnings(log_lines, "three.caffemodel")

    def test_other_shapes_are_refused_by_the_layer(self, tmp_path):
        fill(make_net(NETS["of other sizes"]), 1).save(tmp_path / "w.caffemodel")
        net = fill(make_net(input_layer(x=(2, 5)) + ip("fc", "x", "a", 7) + ip("fc", "a", "b", 4)), 2)
        before = values(net)
        with pytest.raises(SnapshotError, match=r"layer 'fc' \(layer 3: InnerProduct, a -> b\); shape mismatch"):
            net.copy_from(tmp_path / "w.caffemodel")
        assert all(map(np.array_equal, before, values(net)))
        with pytest.raises(NetError, match=r"layer 'fc' \(layer 3: InnerProduct, a -> b\): shapes"):
            net.share_with(make_net(NETS["of other sizes"]))

    def test_phases_with_other_layers_of_the_name(self, tmp_path, log_lines):
        """The training's auxiliary layer comes first, the test net has none: only tops show which is missing."""
        text = (
            input_layer(x=(2, 5))
            + ip("", "x", "aux", 5, "include { phase: TRAIN }")
            + ip("", "x", "a", 5)
            + ip("", "a", "b", 5)
            + ip("", "a", "check", 5, "include { phase: TEST }")
        )
        train = set_constants(make_net(text), 1, 2, 3)
        train.save(tmp_path / "w.caffemodel")
        test = set_constants(make_net(text, TEST), 7, 8, 9)
        for _ in range(2):
            test.share_with(train)
        assert constants(test) == [2, 3, 9]
        (line,) = warnings(log_lines, "whose weights are shared")
        assert "layer 4: InnerProduct, a -> check, got none and keeps its own" in line
        loaded = set_constants(make_net(text, TEST), 7, 8, 9)
        loaded.copy_from(tmp_path / "w.caffemodel")
        assert constants(loaded) == [2, 3, 9]


class TestTold:
    def test_at_the_making_of_the_net(self, log_lines):
        make_net(NETS["one blob read twice"])
        (line,) = warnings(log_lines, "3 layers are named 'fc'", "Give each layer a name of its own")
        for place in (
            "layer 2: InnerProduct, x -> a",
            "layer 3: InnerProduct, a -> b",
            "layer 4: InnerProduct, a -> c",
        ):
            assert place in line

    def test_of_layers_without_a_name(self, log_lines):
        make_net(input_layer(x=(2, 5)) + "".join(ip("", f"x{i}", f"x{i + 1}", 5) for i in range(8)).replace("x0", "x"))
        (line,) = warnings(log_lines, "8 layers have no name")
        assert "layer 6: InnerProduct, x4 -> x5; and 3 more" in line and "layer 7" not in line

    @pytest.mark.parametrize(
        "text",
        [
            ip("a", "x", "a", 5) + in_place("", "ReLU", "a") + in_place("", "ReLU", "a"),
            ip("a", "x", "a", 5) + in_place("a", "ReLU", "a"),
            ip("a", "x", "a", 5, "include { phase: TRAIN }") + ip("a", "x", "a", 4, "include { phase: TEST }"),
        ],
        ids=["ReLUs", "a ReLU and weights", "one in each phase"],
    )
    def test_not_where_nothing_is_mixed_up(self, tmp_path, log_lines, text):
        net = fill(make_net(input_layer(x=(2, 5)) + text), 1)
        net.save(tmp_path / "w.caffemodel")
        other = fill(make_net(input_layer(x=(2, 5)) + text), 2)
        other.copy_from(tmp_path / "w.caffemodel")
        assert_same(other, net)
        assert not warnings(log_lines, "a name of its own")


def test_passes_to_a_layer_return_what_they_ran(rng):
    """Real Caffe runs to the first of the name and returns the last one's top, which has older values."""
    net = fill(make_net(NETS["three alike"]), 1)
    whole = net.forward(x=rng.normal(size=(2, 5)))["c"].copy()
    assert list(net.forward(end="fc")) == ["a"]
    np.testing.assert_array_equal(net.forward(start="fc")["c"], whole)
    assert list(net.backward(end="fc")) == ["x"]


def test_summary_counts_each(log_lines):
    param = prototxt.parse(NETS["of other sizes"], caffe_pb2.NetParameter(), "test")
    rows = measure(param, "TRAIN").rows
    assert [rows[i].parameters for i in range(3)] == [0, 5 * 7 + 7, 7 * 3 + 3]
    assert [rows[i].multiply_adds for i in range(3)] == [0, 5 * 7, 7 * 3]


# ---- solvers -------------------------------------------------------------------------------------

TWINS = (
    'layer { name: "in" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 3 dim: 5 } shape { dim: 3 } '
    'data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 2 } } }\n'
    + ip("fc", "x", "a", 5)
    + in_place("relu", "ReLU", "a")
    + ip("fc", "a", "b", 5)
    + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "y" top: "loss" }\n'
)


def make_solver(folder, net=TWINS, more=""):
    text = (
        f'net_param {{ name: "twins" {net} }} base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" random_seed: 3 '
        f'snapshot_prefix: "{folder}/run" {more}'
    )
    return get_solver(prototxt.parse(text, caffe_pb2.SolverParameter(), "test"))


def test_a_solver_tests_and_resumes_with_each_layers_weights(tmp_path, log_lines):
    straight = make_solver(tmp_path, more="test_iter: 1 test_interval: 4 test_compute_loss: true")
    straight.step(4)
    straight.snapshot()
    straight.test_nets[0].share_with(straight.net)
    assert_same(straight.test_nets[0], straight.net)
    resumed = make_solver(tmp_path)
    resumed.restore(tmp_path / "run_iter_4.solverstate")
    assert_same(resumed.net, straight.net)
    straight.step(3)
    resumed.step(3)
    assert_same(resumed.net, straight.net)


def test_a_snapshot_that_lacks_one_of_the_name_is_refused(tmp_path):
    solver = make_solver(tmp_path)
    solver.snapshot()
    model = tmp_path / "run_iter_0.caffemodel"
    content = caffe_pb2.NetParameter.FromString(model.read_bytes())
    del content.layer[1]
    model.write_bytes(content.SerializeToString())
    (tmp_path / "run_iter_0.manifest.json").unlink()
    with pytest.raises(SnapshotError, match=r"has no weights for the net's 'fc' \(layer 2: InnerProduct, x -> a\)"):
        solver.restore(tmp_path / "run_iter_0.solverstate")


def test_weights_from_several_files(tmp_path):
    """Each file has one of the two layers."""
    for top, number in (("b", 2), ("a", 1)):
        text = input_layer(x=(3, 5)) + ip("fc", "x", top, 5)
        set_constants(make_net(text), number).save(tmp_path / f"{top}.caffemodel")
    solver = make_solver(tmp_path, more=f'weights: "{tmp_path}/b.caffemodel,{tmp_path}/a.caffemodel"')
    assert constants(solver.net) == [1, 2]


# ---- HDF5 ----------------------------------------------------------------------------------------

UNFIT = {
    "one name": (
        ip("fc", "x", "a", 5) + ip("fc", "a", "b", 5),
        r"The layers named 'fc' \(layer 2: InnerProduct, x -> a; layer 3: InnerProduct, a -> b\) cannot be saved",
    ),
    "one name, no weights": (
        ip("fc", "x", "a", 5) + in_place("fc", "ReLU", "a"),
        r"The layers named 'fc' \(layer 2: InnerProduct, x -> a; layer 3: ReLU, a -> a\) cannot be saved",
    ),
    "no name": (
        ip("fc", "x", "a", 5) + in_place("", "ReLU", "a"),
        r"Layers without a name \(layer 3: ReLU, a -> a\) cannot be saved",
    ),
    "a slash": (ip("fc/7x7", "x", "a", 5), "Layer 'fc/7x7' cannot be saved in an HDF5 file: its name has a slash"),
    "a slash in a blob": (
        ip("fc", "x", "a/b", 5) + ip("one", "a/b", "b", 4) + ip("two", "a/b", "c", 3),
        "Blob 'a/b', which several layers read, cannot be saved in an HDF5 file: its name has a slash",
    ),
    "a dot": (ip(".", "x", "a", 5), "Layer '.' cannot be saved in an HDF5 file: its name means"),
    "a zero byte": (
        ip("fc\\000", "x", "a", 5),
        "Layer 'fc.' cannot be saved in an HDF5 file: its name has a zero byte",
    ),
    "several": (
        ip("a/b", "x", "a", 5) + "".join(ip(f"{i}/c", "a", f"b{i}", 4) for i in range(6)),
        r"Layer 'a/b' cannot be saved.*\. Nor can layer '0/c': .* Nor can 2 more\. Rename",
    ),
}


@pytest.mark.parametrize(("text", "message"), UNFIT.values(), ids=UNFIT)
class TestUnfitForHDF5:
    def test_a_solver_refuses_before_it_trains(self, tmp_path, text, message):
        """Every request for a snapshot: by the interval, the end, a signal or a script."""
        for more in ("snapshot: 9", "snapshot_after_train: true", "snapshot_after_train: false"):
            with pytest.raises(SnapshotError, match=f"{message}.*snapshot_format: BINARYPROTO"):
                make_solver(tmp_path, input_layer(x=(3, 5)) + text, f"snapshot_format: HDF5 {more}")
        assert list(tmp_path.iterdir()) == []
        make_solver(tmp_path, input_layer(x=(3, 5)) + text).snapshot()

    def test_save_hdf5_refuses(self, tmp_path, text, message):
        with pytest.raises(SnapshotError, match=f"{message}.*snapshot_format: BINARYPROTO"):
            make_net(input_layer(x=(3, 5)) + text).save_hdf5(tmp_path / "w.h5")
        assert list(tmp_path.iterdir()) == []


def test_a_solver_without_h5py_refuses_before_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr("caffe._files.hdf5.h5py", None)
    with pytest.raises(SnapshotError, match="h5py is not installed"):
        make_solver(tmp_path, input_layer(x=(3, 5)) + ip("fc", "x", "a", 5), "snapshot_format: HDF5")


def test_names_that_fit_hdf5(tmp_path):
    """A dot within, spaces, other scripts."""
    text = input_layer(x=(2, 5)) + ip("..", "x", "a", 4) + ip("fc 1.b", "a", "b", 3) + ip("größe", "b", "c", 6)
    net, other = fill(make_net(text), 1), fill(make_net(text), 2)
    net.save_hdf5(tmp_path / "w.h5")
    other.load_hdf5(tmp_path / "w.h5")
    assert_same(other, net)
