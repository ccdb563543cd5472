"""zoo/: a run's weights, journal and tests kept, and a lost run folder made from them again."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from caffe.proto import caffe_pb2

from harness.errors import UserError
from tests.training import tiny_run
from training import curves, journal, run, zoo
from training.snapshots import newest_whole
from training.zoo import ROOT

LAYERS = {"ip0": (2, 3), "ip1": (5,)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    tiny_run.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    tiny_run.edit("max_iter: 100000", "max_iter: 100000\ntest_interval: 20")
    return tmp_path


def trained(iteration: int, rate: float = 0.01) -> dict[str, np.ndarray]:
    """A run folder with a snapshot, a log that displays every tenth iteration, and a journal; returns the weights."""
    random, prefix = np.random.default_rng(iteration), Path("runs/tiny/tiny")
    prefix.parent.mkdir(parents=True, exist_ok=True)
    model = caffe_pb2.NetParameter(name="tiny")
    state = caffe_pb2.SolverState(iter=iteration, learned_net=f"{prefix}_iter_{iteration}.caffemodel")
    weights = {}
    for name, shape in LAYERS.items():
        weights[name] = random.standard_normal(shape).astype(np.float32)
        for blob in (model.layer.add(name=name).blobs.add(), state.history.add()):
            blob.shape.dim.extend(shape)
            blob.data.extend(weights[name].ravel())
    Path(f"{prefix}_iter_{iteration}.caffemodel").write_bytes(model.SerializeToString())
    Path(f"{prefix}_iter_{iteration}.solverstate").write_bytes(state.SerializeToString())
    lines = [
        "I1201 10:00:00.000000 1 caffe.cpp:1] Precision: bf16",
        "I1201 10:00:00.000000 1 a.cpp:1] Solving tiny",
        "layer {",
    ]
    for at in range(0, iteration, 10):
        stamp = f"I1201 10:{at // 60:02d}:{at % 60:02d}.000000 1 solver.cpp:2]"
        if at % 20 == 0:
            lines += [
                f"{stamp} Iteration {at}, Testing net (#0)",
                f"{stamp}     Test net output #0: accuracy = {at / 1000:g}",
            ]
        lines += [
            f"{stamp} Iteration {at} (1 iter/s, 10s/10 iters), loss = 5",
            f"{stamp} Iteration {at}, lr = {rate:g}",
        ]
    Path("runs/tiny/train.log").write_text("\n".join(lines) + "\n")
    text = tiny_run.SOLVER.replace("base_lr: 0.01", f"base_lr: {rate:g}")
    command = [str(ROOT / ".venv/bin/caffe"), "train"]
    journal.add(prefix.parent, event="start", iteration=0, command=command, solver=text, machine="a machine")
    return weights


def test_a_lost_run_folder_comes_back_with_a_momentum_of_zero(capsys):
    weights = trained(50)
    zoo.keep("tiny")
    shutil.rmtree("runs")
    assert zoo.start("tiny")
    snapshot, faults = newest_whole("runs/tiny/tiny")
    assert (snapshot.iteration, faults) == (50, [])
    state = caffe_pb2.SolverState.FromString(snapshot.state.read_bytes())
    assert state.iter == 50
    assert [tuple(blob.shape.dim) for blob in state.history] == list(LAYERS.values())
    assert not any(value for blob in state.history for value in blob.data)
    model = caffe_pb2.NetParameter.FromString(snapshot.model.read_bytes())
    for layer in model.layer:
        assert np.array_equal(layer.blobs[0].data, weights[layer.name].ravel())
    assert curves.read(Path("runs/tiny")).series("accuracy") == [(0, 0), (20, 0.02), (40, 0.04)]
    assert "momentum starts at 0" in capsys.readouterr().err


def test_the_zoo_keeps_tests_and_one_loss_a_test_interval_and_no_path_of_this_machine():
    trained(50)
    zoo.keep("tiny")
    kept = curves.read(Path("zoo/tiny"))
    assert [point.iteration for point in kept.displayed] == [0, 20, 40]
    assert [point.lr for point in kept.displayed] == [0.01] * 3
    assert kept.runs[0].precision == "bf16"
    assert "layer {" not in Path("zoo/tiny/train.log").read_text()
    assert [run["command"] for run in journal.read(Path("zoo/tiny"))] == [[".venv/bin/caffe", "train"]]
    readme = Path("zoo/tiny/readme.md").read_text()
    digest = hashlib.sha1(Path("zoo/tiny/tiny_iter_50.caffemodel").read_bytes()).hexdigest()
    assert f"\nsha1: {digest}\n" in readme and "iteration 40: 0.0400" in readme
    assert not any(str(ROOT) in path.read_text(errors="replace") for path in Path("zoo/tiny").iterdir())


def test_the_journal_says_where_a_run_went_on_from(capsys):
    trained(50)
    zoo.keep("tiny")
    shutil.rmtree("runs")
    zoo.start("tiny")
    journal.add(Path("runs/tiny"), event="start", iteration=50, command=["caffe"], solver=tiny_run.SOLVER)
    told = journal.told(journal.read(Path("runs/tiny"))).splitlines()
    assert "    from zoo/tiny/tiny_iter_50.caffemodel of iteration 50, with a momentum of 0" in told
    assert sum("from zoo" in line for line in told) == 1


def test_resume_takes_the_rate_of_the_zoos_run_and_edits_nothing_else():
    trained(50, rate=0.001)
    zoo.keep("tiny")
    shutil.rmtree("runs")
    before = Path("solvers/tiny.prototxt").read_text()
    assert zoo.start("tiny", resume=True)
    assert Path("solvers/tiny.prototxt").read_text() == before.replace("base_lr: 0.01", "base_lr: 0.001")


def test_scores_alone_leave_the_solver_as_it_is():
    trained(50, rate=0.001)
    zoo.keep("tiny")
    shutil.rmtree("runs")
    before = Path("solvers/tiny.prototxt").read_bytes()
    assert zoo.start("tiny")
    assert Path("solvers/tiny.prototxt").read_bytes() == before


def test_a_run_that_is_there_is_left_alone():
    trained(50)
    zoo.keep("tiny")
    before = {path: path.read_bytes() for path in Path("runs/tiny").iterdir()}
    assert not zoo.start("tiny")
    assert {path: path.read_bytes() for path in Path("runs/tiny").iterdir() if path.name != ".lock"} == before


def test_a_newer_snapshot_replaces_the_older_one():
    trained(50)
    zoo.keep("tiny")
    trained(70)
    zoo.keep("tiny")
    assert [path.name for path in Path("zoo/tiny").glob("*.caffemodel")] == ["tiny_iter_70.caffemodel"]
    with pytest.raises(UserError, match="has iteration 70 already"):
        zoo.keep("tiny")


def test_weights_that_differ_from_the_readme_are_refused_and_make_no_run():
    trained(50)
    zoo.keep("tiny")
    shutil.rmtree("runs")
    path = Path("zoo/tiny/tiny_iter_50.caffemodel")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match=r"git checkout zoo/tiny/tiny_iter_50\.caffemodel"):
        zoo.start("tiny")
    assert not Path("runs").exists()


@pytest.mark.parametrize("verb, wanted", [("keep", "no whole snapshot to keep"), ("resume", "no such solver")])
def test_what_cannot_be_done_is_one_line(verb, wanted, capsys):
    name = "tiny" if verb == "keep" else "tinny"
    assert zoo.main([verb, name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert wanted in line


def test_a_run_resumes_from_the_zoo(folder):
    """The stand-in for Caffe resumes at the zoo's iteration, with its weights."""
    tiny_run.edit("max_iter: 100000", "max_iter: 60")
    model = caffe_pb2.NetParameter(name="tiny")
    model.layer.add(name="ip").blobs.add(shape=caffe_pb2.BlobShape(dim=[2]), data=[0.5, 0.25])
    trained(50)
    Path("runs/tiny/tiny_iter_50.caffemodel").write_bytes(model.SerializeToString())
    state = caffe_pb2.SolverState(iter=50, learned_net="runs/tiny/tiny_iter_50.caffemodel")
    state.history.add(shape=caffe_pb2.BlobShape(dim=[2]), data=[1, 1])
    Path("runs/tiny/tiny_iter_50.solverstate").write_bytes(state.SerializeToString())
    zoo.keep("tiny")
    shutil.rmtree("runs")
    assert zoo.main(["resume", "tiny"]) == 0
    assert run.main(["resume", "tiny", "--caffe", str(folder / "caffe")]) == 0
    end = caffe_pb2.NetParameter.FromString(Path("runs/tiny/tiny_iter_60.caffemodel").read_bytes())
    assert np.allclose(end.layer[0].blobs[0].data, [0.6, 0.35], atol=1e-6)
    assert [json.loads(line)["event"] for line in Path("runs/tiny/journal.jsonl").read_text().splitlines()] == [
        "start", "zoo", "start", "end",
    ]  # fmt: skip


@pytest.mark.parametrize("folder_is_there", [True, False])
def test_a_resume_without_a_snapshot_names_the_zoo(folder_is_there, capsys):
    trained(50)
    zoo.keep("tiny")
    shutil.rmtree("runs")
    if folder_is_there:
        Path("runs/tiny").mkdir(parents=True)
    assert run.main(["resume", "tiny", "--caffe", "./caffe"]) == 1
    assert capsys.readouterr().err.rstrip().endswith("from the weights in zoo/tiny: make resume-tiny ZOO=1")
