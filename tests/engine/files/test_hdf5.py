"""HDF5 snapshots and weights: exact resume, real Caffe's layout, and what is refused."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from caffe import DataError, SnapshotError

from tests.engine.build import input_layer, make_layer, make_net
from tests.engine.snapshot.test_snapshot import assert_same, make_solver, source  # noqa: F401  (source is a fixture)


@pytest.fixture
def pair(source, tmp_path):  # noqa: F811
    """A solver at iteration 4 and the path of its solverstate."""
    solver = make_solver(source, tmp_path / "runs", more="snapshot_format: HDF5")
    solver.step(4)
    solver.snapshot()
    return solver, tmp_path / "runs" / "run_iter_4.solverstate.h5"


def test_names(pair):
    assert sorted(p.name for p in pair[1].parent.iterdir()) == [
        "run_iter_4.caffemodel.h5", "run_iter_4.manifest.json", "run_iter_4.resume.json", "run_iter_4.solverstate.h5",
    ]  # fmt: skip


def test_resumes_exactly(source, tmp_path, pair):  # noqa: F811
    straight, path = pair
    straight.step(5)
    resumed = make_solver(source, tmp_path / "other")
    resumed.restore(path)
    assert (resumed.iter, resumed.current_step) == (4, 1)
    resumed.step(5)
    assert_same(resumed, straight)


def test_layout(pair):
    solver, path = pair
    model_path = path.with_name("run_iter_4.caffemodel.h5")
    with h5py.File(path) as state:
        assert set(state) == {"iter", "current_step", "learned_net", "history"}
        assert state["iter"].shape == (1,) and state["iter"].dtype == np.int32 and state["iter"][0] == 4
        assert state["current_step"][0] == 1
        # The zero byte that ends it counts.
        learned_net = os.path.relpath(model_path)
        assert state["learned_net"].dtype == f"S{len(learned_net) + 1}" and state["learned_net"].shape == ()
        assert state["learned_net"][()].decode() == learned_net
        for index, history in enumerate(solver.history):
            np.testing.assert_array_equal(state[f"history/{index}"], (history / solver.history_scale).numpy())
    with h5py.File(model_path) as model:
        assert list(model) == ["data"]
        assert {name: list(group) for name, group in model["data"].items()} == {
            "data": [], "drop": [], "hidden": ["0", "1"], "loss": [], "scores": ["0", "1"],
        }  # fmt: skip
        assert model["data/hidden/0"].dtype == np.float32
        np.testing.assert_array_equal(model["data/scores/1"], solver.net.params["scores"][1].data)


def test_snapshot_diff(source, tmp_path):  # noqa: F811
    solver = make_solver(source, tmp_path / "runs", more="snapshot_format: HDF5 snapshot_diff: true")
    solver.step(1)
    solver.snapshot()
    with h5py.File(tmp_path / "runs/run_iter_1.caffemodel.h5") as model:
        assert list(model["diff"]) == list(model["data"])
        np.testing.assert_array_equal(model["diff/hidden/0"], solver.net.params["hidden"][0].diff)


class TestRefused:
    def refuse(self, source, tmp_path, path, message):  # noqa: F811
        solver = make_solver(source, tmp_path / "other")
        before = [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]
        with pytest.raises(SnapshotError, match=message):
            solver.restore(path)
        after = [blob.data for blobs in solver.net.params.values() for blob in blobs]
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)) and solver.iter == 0

    @pytest.mark.parametrize("kind", ["solverstate", "caffemodel"])
    @pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
    def test_cut(self, source, tmp_path, pair, kind, kept):  # noqa: F811
        file = pair[1].with_name(f"run_iter_4.{kind}.h5")
        content = file.read_bytes()
        file.write_bytes(content[: int(kept * len(content))])
        self.refuse(source, tmp_path, pair[1], kind)

    @pytest.mark.parametrize("name", ["iter", "current_step", "history", "history/1"])
    def test_part_gone(self, source, tmp_path, pair, name):  # noqa: F811
        with h5py.File(pair[1], "a") as file:
            del file[name]
        self.refuse(source, tmp_path, pair[1], "run_iter_4.solverstate.h5")

    def test_binary_under_the_name(self, source, tmp_path, pair):  # noqa: F811
        pair[1].write_bytes(b"\x08\x04")
        self.refuse(source, tmp_path, pair[1], "is not an HDF5 file of Caffe's")

    def test_missing(self, source, tmp_path):  # noqa: F811
        self.refuse(source, tmp_path, tmp_path / "gone.solverstate.h5", "Could not open file .*gone.solverstate.h5")

    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda group: group.pop("1"), "has 1 parameter blobs"),
            (lambda group: group.create_dataset("2", data=[1.0]), "has 3 parameter blobs"),
            (lambda group: group.create_dataset("x", data=[1.0]), "invalid literal"),
            (lambda group: (group.pop("1"), group.create_dataset("1", data=np.zeros(5))), "shape mismatch"),
            (lambda group: (group.pop("1"), group.create_dataset("1", data=b"abcd")), "does not hold numbers"),
        ],
    )
    def test_other_parameters(self, pair, change, message):
        solver, path = pair
        model = path.with_name("run_iter_4.caffemodel.h5")
        with h5py.File(model, "a") as file:
            change(file["data/hidden"])
        with pytest.raises(SnapshotError, match=message):
            solver.net.load_hdf5(model)

    def test_slash_in_a_name(self, tmp_path):
        net = make_net(
            input_layer(x=(2, 3))
            + 'layer { name: "conv1/7x7" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
        )
        with pytest.raises(SnapshotError, match="'conv1/7x7' cannot be saved in an HDF5 file"):
            net.save_hdf5(tmp_path / "w.h5")
        assert list(tmp_path.iterdir()) == []


def test_doubles_are_read_and_other_layers_left(tmp_path, rng):
    text = 'layer { name: "%s" type: "InnerProduct" bottom: "x" top: "%s" inner_product_param { num_output: 2 } }'
    net = make_net(input_layer(x=(2, 3)) + text % ("a", "a") + text % ("b", "b"))
    weights, bias = rng.normal(size=(2, 3)), rng.integers(0, 9, 2)
    with h5py.File(tmp_path / "w", "w") as file:
        file["data/a/0"], file["data/a/1"], file["data/unknown/0"] = weights, bias, weights
    net.copy_from(tmp_path / "w")
    np.testing.assert_array_equal(net.params["a"][0].data, weights.astype(np.float32))
    np.testing.assert_array_equal(net.params["a"][1].data, bias)
    assert not net.params["b"][0].data.any()


class TestOfOtherFiles:
    """An HDF5 file whose links or values lie in a file that its maker could not read."""

    @pytest.fixture
    def secret(self, tmp_path):
        (tmp_path / "secret.raw").write_bytes(np.arange(6, dtype=np.float32).tobytes())
        with h5py.File(tmp_path / "secret.h5", "w") as file:
            file["0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
            file.create_group("layer")["0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        return tmp_path / "secret"

    @pytest.mark.parametrize("kind", ["external link", "soft link", "group", "external values", "virtual", "none"])
    def test_refused(self, tmp_path, secret, kind):
        net = make_net(
            input_layer(x=(2, 3))
            + 'layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" '
            + "inner_product_param { num_output: 2 bias_term: false } }"
        )
        with h5py.File(tmp_path / "w.h5", "w") as file:
            data = file.create_group("data")
            if kind == "group":
                data["a"] = h5py.ExternalLink(f"{secret}.h5", "layer")
                group = None
            else:
                group = data.create_group("a")
            if kind == "external link":
                group["0"] = h5py.ExternalLink(f"{secret}.h5", "0")
            elif kind == "soft link":
                group["0"] = h5py.SoftLink("/data/nowhere")
            elif kind == "external values":
                group.create_dataset("0", (2, 3), "f4", external=[(f"{secret}.raw", 0, 24)])
            elif kind == "virtual":
                layout = h5py.VirtualLayout((2, 3), "f4")
                layout[...] = h5py.VirtualSource(f"{secret}.h5", "0", (2, 3))
                group.create_virtual_dataset("0", layout)
            elif kind == "none":
                group["0"] = h5py.Empty("f4")
        words = {"external values": "in another file", "virtual": "in another file", "none": "not a dataset"}
        with pytest.raises(SnapshotError, match=f"w.h5 .*{words.get(kind, 'is a link to another place')}"):
            net.load_hdf5(tmp_path / "w.h5")
        assert not net.params["a"][0].data.any()

    def test_data_layer(self, tmp_path, secret):
        with h5py.File(tmp_path / "rows.h5", "w") as file:
            file["rows"] = h5py.ExternalLink(f"{secret}.h5", "0")
        (tmp_path / "list").write_text(str(tmp_path / "rows.h5"))
        with pytest.raises(DataError, match="rows.h5 .*rows is a link to another place, which is not followed"):
            make_layer(f'type: "HDF5Data" top: "rows" hdf5_data_param {{ source: "{tmp_path}/list" batch_size: 1 }}')


def test_values_that_take_no_room_in_the_file(tmp_path):
    """A dataset that was never written takes a few bytes of the file and, read, all the memory there is."""
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file.create_dataset("rows", (2**40, 2), "f8", chunks=(2**20, 2))
    assert (tmp_path / "rows.h5").stat().st_size < 10_000
    (tmp_path / "list").write_text(str(tmp_path / "rows.h5"))
    with pytest.raises(DataError, match=r"rows.h5 .*dataset rows of shape \(1099511627776, 2\) takes .* GB of memory"):
        make_layer(f'type: "HDF5Data" top: "rows" hdf5_data_param {{ source: "{tmp_path}/list" batch_size: 1 }}')


def test_what_is_not_hdf5_needs_no_h5py(tmp_path):
    """Without h5py, other weight files are still read; an HDF5 file gives an error that names h5py."""
    model, other = tmp_path / "a.caffemodel", tmp_path / "a.caffemodel.h5"
    model.write_bytes(b"\x0a\x01n\xa2\x06\x03\x0a\x01l")
    other.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    program = f"""
import sys
sys.modules["h5py"] = None
from caffe._net import weights
print([(layer.name, layer.value) for layer in weights.read_weights({str(model)!r})])
try:
    weights.read_weights({str(other)!r})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "[('l', {})]"
    assert second == f"SnapshotError {other}: h5py is not installed, HDF5 needs it; pip install h5py."
