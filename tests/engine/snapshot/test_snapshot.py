"""A run resumes from snapshots exactly, and every broken or wrong file is refused by name."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from caffe import SnapshotError, get_solver
from caffe._files import prototxt
from caffe.proto import caffe_pb2

from tests.engine.records import datum, write_lmdb


@pytest.fixture
def source(tmp_path, rng):
    images = rng.integers(0, 256, (7, 1, 5, 6), np.uint8)
    return write_lmdb(tmp_path / "lmdb", [datum(image, i % 3) for i, image in enumerate(images)])


def make_solver(source, folder, outputs=4, more="", name="small", prefix=None):
    folder.mkdir(exist_ok=True)
    net = f"""
        name: "{name}"
        layer {{ name: "data" type: "Data" top: "data" top: "label" transform_param {{ crop_size: 4 mirror: true scale: 0.01 }}
                data_param {{ source: "{source}" batch_size: 4 backend: LMDB }} }}
        layer {{ name: "hidden" type: "InnerProduct" bottom: "data" top: "hidden"
                inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}
        layer {{ name: "drop" type: "Dropout" bottom: "hidden" top: "hidden" }}
        layer {{ name: "scores" type: "InnerProduct" bottom: "hidden" top: "scores"
                inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }}
    """
    text = f"""
        net_param {{ {net} }} base_lr: 0.1 momentum: 0.9 weight_decay: 0.01 random_seed: 3 average_loss: 3
        lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 6 snapshot_prefix: "{prefix or folder}/run" {more}
    """
    return get_solver(prototxt.parse(text, caffe_pb2.SolverParameter(), "test"))


def state_of(solver):
    weights = [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]
    return weights + [history.numpy().copy() for history in solver.history]


def assert_same(one, two):
    for a, b in zip(state_of(one), state_of(two), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def pair(source, tmp_path):
    """A solver at iteration 4 and the path of its solverstate."""
    solver = make_solver(source, tmp_path / "runs")
    solver.step(4)
    solver.snapshot()
    return solver, tmp_path / "runs" / "run_iter_4.solverstate"


def test_resumes_exactly(source, tmp_path, pair):
    """Stopped at 4 and resumed by a new solver in a disturbed process: bit for bit as never stopped."""
    from caffe._device import random_numbers

    straight, path = pair
    straight.step(5)
    resumed = make_solver(source, tmp_path / "runs")
    random_numbers.host().random(100)
    resumed.restore(path)
    assert (resumed.iter, resumed.current_step) == (4, 1)
    resumed.step(5)
    assert (resumed.iter, resumed.current_step) == (9, 2)
    assert_same(resumed, straight)
    assert resumed.progress.recent_losses() == straight.progress.recent_losses()


def test_what_real_caffe_reads(pair):
    solver, path = pair
    state = caffe_pb2.SolverState.FromString(path.read_bytes())
    model_path = path.with_suffix(".caffemodel")
    assert (state.iter, state.current_step) == (4, 1)
    # From the working folder, where real Caffe looks for it, and without an absolute path.
    assert not Path(state.learned_net).is_absolute() and Path(state.learned_net).samefile(model_path)
    assert [list(h.shape.dim) for h in state.history] == [[4, 16], [4], [3, 4], [3]]
    np.testing.assert_array_equal(
        np.array(state.history[0].data, np.float32), (solver.history[0] / solver.history_scale).numpy().ravel()
    )
    model = caffe_pb2.NetParameter.FromString(model_path.read_bytes())
    assert model.name == "small" and [x.name for x in model.layer] == ["data", "hidden", "drop", "scores", "loss"]
    blobs = {x.name: x.blobs for x in model.layer}
    np.testing.assert_array_equal(np.array(blobs["scores"][0].data, np.float32),
                                  solver.net.params["scores"][0].data.ravel())  # fmt: skip
    assert len(blobs["hidden"]) == 2 and not blobs["hidden"][0].diff


def test_snapshot_diff(source, tmp_path):
    solver = make_solver(source, tmp_path / "runs", more="snapshot_diff: true")
    solver.step(1)
    solver.snapshot()
    model = caffe_pb2.NetParameter.FromString((tmp_path / "runs/run_iter_1.caffemodel").read_bytes())
    found = np.array(model.layer[1].blobs[0].diff, np.float32)
    np.testing.assert_array_equal(found, solver.net.params["hidden"][0].diff.ravel())


def test_nothing_else_is_left(pair):
    assert sorted(os.listdir(pair[1].parent)) == [
        "run_iter_4.caffemodel", "run_iter_4.manifest.json", "run_iter_4.resume.json", "run_iter_4.solverstate",
    ]  # fmt: skip


def test_moved_pair(source, tmp_path, pair):
    moved = tmp_path / "elsewhere"
    pair[1].parent.rename(moved)
    resumed = make_solver(source, tmp_path / "other")
    resumed.restore(moved / pair[1].name)
    assert_same(resumed, pair[0])


def test_model_beside_wins_over_an_old_one_where_it_was_written(source, tmp_path, pair):
    solver, path = pair
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in path.parent.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    other = make_solver(source, tmp_path / "runs", name="other")
    other.step(1)
    other.net.save(path.with_suffix(".caffemodel"))
    resumed = make_solver(source, tmp_path / "other")
    resumed.restore(moved / path.name)
    assert_same(resumed, solver)


def test_without_what_caffe_forgets(source, tmp_path, pair, log_lines):
    """A pair of real Caffe has no resume.json: weights and history are restored, data start anew."""
    solver, path = pair
    path.with_name("run_iter_4.resume.json").unlink()
    resumed = make_solver(source, tmp_path / "runs")
    resumed.restore(path)
    assert_same(resumed, solver)
    assert resumed.net.layers[0].cursor.key == b"00000000"
    assert any("resume.json is not there: resuming as real Caffe does" in line for line in log_lines)


class TestRefused:
    def refuse(self, source, tmp_path, path, message, **other):
        solver = make_solver(source, tmp_path / "runs", **other)
        before = state_of(solver)
        with pytest.raises(SnapshotError, match=message):
            solver.restore(path)
        assert solver.iter == 0
        for a, b in zip(before, state_of(solver), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_missing(self, source, tmp_path):
        self.refuse(source, tmp_path, tmp_path / "gone.solverstate", "Could not open file .*gone.solverstate")

    def test_model_instead_of_state(self, source, tmp_path, pair):
        self.refuse(source, tmp_path, pair[1].with_suffix(".caffemodel"), "is a model: --snapshot takes a .solverstate")

    def test_model_under_another_name(self, source, tmp_path, pair):
        renamed = tmp_path / "renamed.solverstate"
        renamed.write_bytes(pair[1].with_suffix(".caffemodel").read_bytes())
        self.refuse(source, tmp_path, renamed, "renamed.solverstate")

    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
    def test_cut_state(self, source, tmp_path, pair, kept):
        content = pair[1].read_bytes()
        pair[1].write_bytes(content[: int(kept * len(content))])
        self.refuse(source, tmp_path, pair[1], "run_iter_4.solverstate")

    @pytest.mark.parametrize("kept", [0, 0.5, 0.99])
    def test_cut_model(self, source, tmp_path, pair, kept):
        model = pair[1].with_suffix(".caffemodel")
        content = model.read_bytes()
        model.write_bytes(content[: int(kept * len(content))])
        self.refuse(source, tmp_path, pair[1], "run_iter_4.caffemodel")

    def test_model_gone(self, source, tmp_path, pair):
        pair[1].with_suffix(".caffemodel").unlink()
        self.refuse(source, tmp_path, pair[1], "its model is neither")

    def test_another_net(self, source, tmp_path, pair):
        self.refuse(source, tmp_path, pair[1], "history is of another net", outputs=5)

    def test_history_of_this_net_but_model_of_another(self, source, tmp_path, pair):
        other = make_solver(source, tmp_path / "other", outputs=5)
        other.net.save(pair[1].with_suffix(".caffemodel"))
        self.refuse(source, tmp_path, pair[1], "run_iter_4.caffemodel is not as run_iter_4.manifest.json says")
        pair[1].with_suffix(".manifest.json").unlink()
        self.refuse(source, tmp_path, pair[1], "shape mismatch")

    def test_resume_file_of_another_state(self, source, tmp_path, pair):
        solver, path = pair
        old = path.with_name("run_iter_4.resume.json").read_bytes()
        solver.step(1)
        solver.snapshot()
        path.with_name("run_iter_5.resume.json").write_bytes(old)
        state = path.with_name("run_iter_5.solverstate")
        self.refuse(source, tmp_path, state, "run_iter_5.resume.json is not as run_iter_5.manifest.json says")
        path.with_name("run_iter_5.manifest.json").unlink()
        self.refuse(source, tmp_path, state, "run_iter_5.resume.json is not of run_iter_5.solverstate")

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "{}", '{"format": 1}', "[" * 100_000, '{"format": ' + "9" * 5000]
    )
    def test_broken_resume_file(self, source, tmp_path, pair, content):
        pair[1].with_name("run_iter_4.resume.json").write_text(content)
        self.refuse(source, tmp_path, pair[1], "resume.json is not as run_iter_4.manifest.json says")
        pair[1].with_name("run_iter_4.manifest.json").unlink()
        self.refuse(source, tmp_path, pair[1], "resume.json is broken")

    @pytest.mark.parametrize(
        "change, message",
        [
            (
                lambda state: state.update(next_key="none such"),
                "resume.json does not fit: Data source .* has no record",
            ),
            (lambda state: state.update(next_key=7), "resume.json is broken .AttributeError"),
            (lambda state: state.pop("random"), "resume.json is broken .KeyError"),
            (lambda state: state.update(random={"bit_generator": "PCG64"}), "resume.json is broken"),
            (lambda state: state["random"]["state"].update(state=[2**64] * 4), "resume.json is broken .OverflowError"),
            (lambda state: state["random"]["state"].update(state="x"), "resume.json is broken .ValueError"),
        ],
    )
    def test_states_of_another_kind(self, source, tmp_path, pair, change, message):
        file = pair[1].with_name("run_iter_4.resume.json")
        resume = json.loads(file.read_text())
        (state,) = (state for state in resume["nets"][0].values() if "next_key" in state)
        change(state)
        file.write_text(json.dumps(resume))
        pair[1].with_name("run_iter_4.manifest.json").unlink()
        with pytest.raises(SnapshotError, match=message):
            make_solver(source, tmp_path / "other").restore(pair[1])

    @pytest.mark.parametrize(
        "damage",
        [
            {"losses": ["a lot"]},
            {"losses": [[3.5]]},
            {"losses": 7},
            {"plateau": {"minimum_loss": "low", "last_event": 3}},
            {"plateau": {"minimum_loss": 0.5, "last_event": None}},
            {"plateau": {"minimum_loss": 0.5, "first_event": 3}},
        ],
    )
    def test_progress_that_is_no_number(self, source, tmp_path, pair, damage):
        file = pair[1].with_name("run_iter_4.resume.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | damage))
        pair[1].with_name("run_iter_4.manifest.json").unlink()
        with pytest.raises(SnapshotError, match="resume.json is broken"):
            make_solver(source, tmp_path / "other").restore(pair[1])

    def test_resume_file_of_another_format(self, source, tmp_path, pair):
        file = pair[1].with_name("run_iter_4.resume.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
        self.refuse(source, tmp_path, pair[1], "resume.json")


class TestDuringATest:
    """A request that comes while a test is under way, whose net draws random numbers too."""

    NET = """layer { name: "d" type: "DummyData" top: "x" top: "y" include { phase: TEST } dummy_data_param {
        shape { dim: 2 dim: 3 } shape { dim: 2 } data_filler { type: "uniform" } data_filler { value: 1 } } }
    layer { name: "t" type: "DummyData" top: "x" top: "y" include { phase: TRAIN } dummy_data_param {
        shape { dim: 2 dim: 3 } shape { dim: 2 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
    layer { name: "drop" type: "Dropout" bottom: "x" top: "z" }
    layer { name: "scores" type: "InnerProduct" bottom: "z" top: "scores"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "y" top: "loss" }"""

    def make_solver(self, folder):
        text = f"""net_param {{ {self.NET} }} test_iter: 5 test_interval: 4 base_lr: 0.1 lr_policy: "fixed" random_seed: 3
            max_iter: 10 snapshot_prefix: "{folder}/run" """
        return get_solver(prototxt.parse(text, caffe_pb2.SolverParameter(), "test"))

    @pytest.mark.parametrize("request_", ["stop", "snapshot"])
    def test_resumes_exactly(self, tmp_path, request_):
        straight = self.make_solver(tmp_path)
        straight.solve()
        solver, asked = self.make_solver(tmp_path), iter([None] * 11 + [request_])  # five batches, four iterations, two
        solver.set_action_function(lambda: next(asked, None))
        solver.solve()
        assert solver.iter == (4 if request_ == "stop" else 10)
        resumed = self.make_solver(tmp_path)
        resumed.restore(tmp_path / "run_iter_4.solverstate")
        resumed.solve()
        assert_same(resumed, straight)
