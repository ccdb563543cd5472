"""Train, stop, edit, resume: the runner, its journal and its errors, with a stand-in for `caffe`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from harness.errors import UserError
from report.paper import family_of
from tests.training.tiny_run import SOLVER, edit
from training import curves, run

ROOT = Path(__file__).parents[2]
SOLVERS = sorted((ROOT / "solvers").glob("*.prototxt"))


def start(verb: str, log: Path, *options: str) -> subprocess.Popen:
    """The runner in a process group of its own, as a shell would start it, once Caffe says it trains."""
    before = log.read_text().count("lr =") if log.exists() else 0
    command = [sys.executable, "-m", "training.run", verb, "tiny", "--caffe", "./caffe", *options]
    runner = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not log.exists() or log.read_text().count("lr =") == before:
        assert runner.poll() is None, runner.communicate()[1]
        assert time.monotonic() < deadline, "Caffe did not start"
        time.sleep(0.01)
    return runner


def write_snapshot(iteration: int, shapes=((2, 3), (2,)), name="tiny") -> tuple[Path, Path]:
    """A whole snapshot of two layers: one blob each."""
    prefix = Path("runs") / name / f"{name}_iter_{iteration}"
    prefix.parent.mkdir(parents=True, exist_ok=True)
    model_path, state_path = (prefix.with_name(prefix.name + end) for end in (".caffemodel", ".solverstate"))
    model = caffe_pb2.NetParameter(name="tiny")
    state = caffe_pb2.SolverState(iter=iteration, learned_net=str(model_path))
    for number, shape in enumerate(shapes):
        for blob in (model.layer.add(name=f"ip{number}").blobs.add(), state.history.add()):
            blob.shape.dim.extend(shape)
            blob.data.extend([0.5] * (shape[0] * (shape[1] if len(shape) > 1 else 1)))
    model_path.write_bytes(model.SerializeToString())
    state_path.write_bytes(state.SerializeToString())
    return model_path, state_path


def journal_lines() -> list[dict]:
    return [json.loads(line) for line in Path("runs/tiny/journal.jsonl").read_text().splitlines()]


def refused(capsys, *arguments: str) -> str:
    """The one line with which the runner refuses."""
    assert run.main([*arguments, "--caffe", "./caffe"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("training.run: error: ")
    return error[-1]


def test_under_make_it_names_makes_command(place, monkeypatch):
    monkeypatch.setenv("MAKELEVEL", "1")
    first = start("train", Path("runs/tiny/train.log"))
    os.killpg(first.pid, signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert said.splitlines()[-1] == "training.run: go on with: make resume-tiny GPU= CAFFE=./caffe"


@pytest.mark.parametrize("variable", ["GLOG_minloglevel=2", "GLOG_log_prefix=0"])
def test_a_users_variables_for_the_log_take_no_curves_away(variable, place, monkeypatch):
    monkeypatch.setenv(*variable.split("="))
    edit("max_iter: 100000", "max_iter: 20")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0
    found = curves.read(Path("runs/tiny")).displayed
    assert [(point.iteration, point.loss) for point in found] == [(0, 1.0), (10, 0.9)]


def test_train_stop_edit_resume(place, capsys):
    log = Path("runs/tiny/train.log")
    first = start("train", log)
    os.killpg(first.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
    _, said = first.communicate(timeout=60)
    assert first.returncode == 0
    assert "interrupts: 1\n" in said and set(log.read_text().splitlines()) < set(said.splitlines())
    assert "stopping with a snapshot, after this iteration; Ctrl-C again" in said
    (stopped,) = (int(path.stem.rpartition("_")[2]) for path in Path("runs/tiny").glob("*.solverstate"))
    last_two = said.splitlines()[-2:]
    assert f"the newest snapshot is runs/tiny/tiny_iter_{stopped}.solverstate" in last_two[0]
    assert last_two[1].endswith("-m training.run resume tiny --caffe ./caffe")

    model, state = write_snapshot(stopped + 4000)
    model.write_bytes(model.read_bytes()[:-5])
    edit("base_lr: 0.01", "base_lr: 0.001")
    second = start("resume", log)
    second.send_signal(signal.SIGTERM)  # to the runner alone
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0
    assert f"skipped: {model}: cut or damaged" in said
    assert f"edited: base_lr: 0.01 -> 0.001 from iteration {stopped}" in said
    assert "interrupts: 1\n" in said

    begun, ended, begun_again, ended_again = journal_lines()
    solver_text = Path("solvers/tiny.prototxt").read_text()
    assert (begun["event"], begun["iteration"], begun["solver"]) == ("start", 0, SOLVER)
    assert (ended["event"], ended["iteration"], ended["status"]) == ("end", stopped, 0)
    assert (begun_again["iteration"], begun_again["solver"]) == (stopped, solver_text)
    assert begun_again["command"][1:] == [
        "train",
        "--solver=solvers/tiny.prototxt",
        f"--snapshot=runs/tiny/tiny_iter_{stopped}.solverstate",
    ]
    assert begun["engine"] == "caffe version 0.0-fake"
    assert begun["machine"] and begun.keys() >= {"commit", "data", "python"}
    assert stopped < ended_again["iteration"] < stopped + 4000
    assert log.read_text().count("interrupts: 1\n") == 2  # both runs, one after the other

    weights = caffe_pb2.NetParameter.FromString(
        Path(f"runs/tiny/tiny_iter_{ended_again['iteration']}.caffemodel").read_bytes()
    )
    gone_on = ended_again["iteration"] - stopped
    assert weights.layer[0].blobs[0].data[0] == pytest.approx(0.01 * stopped + 0.001 * gone_on, rel=1e-4)

    assert run.main(["journal", "tiny"]) == 0
    told = capsys.readouterr().out
    assert f"base_lr: 0.01 -> 0.001 from iteration {stopped}" in told and "run 2: " in told
    assert f"on {begun['machine']}" in told


def test_run_to_the_end_with_gpu(place, capfd):
    edit("100000", "20")
    assert run.main(["train", "tiny", "--caffe", "./caffe", "--gpu", "0"]) == 0
    assert journal_lines()[0]["command"][-1] == "--gpu=0"
    assert "to go on, raise max_iter, then: " in capfd.readouterr().err
    assert run.main(["resume", "tiny", "--caffe", "./caffe"]) == 1
    assert "has reached max_iter 20; to go on, raise it in solvers/tiny.prototxt" in capfd.readouterr().err


def test_keep(place, capfd):
    edit("100000", "20")
    for iteration in (3, 5, 9):
        write_snapshot(iteration, shapes=[(2,)])
    model, _ = write_snapshot(12, shapes=[(2,)])
    model.write_bytes(model.read_bytes()[:-5])
    assert run.main(["resume", "tiny", "--caffe", "./caffe", "--keep", "2", "--deterministic"]) == 0
    found = sorted(int(path.stem.rpartition("_")[2]) for path in Path("runs/tiny").glob("*.caffemodel"))
    assert found == [9, 20], "the two that are whole, and not the one between them that is not"
    said = capfd.readouterr().err
    assert "snapshots kept: 1\n" in said  # beside the 5, 9 and 12 that were there
    assert said.splitlines()[-1].endswith("resume tiny --caffe ./caffe --keep 2 --deterministic")
    assert journal_lines()[0]["command"][-1] == "--deterministic"


def test_keep_under_make(place, monkeypatch, capfd):
    monkeypatch.setenv("MAKELEVEL", "1")
    edit("100000", "20")
    assert run.main(["train", "tiny", "--caffe", "./caffe", "--keep", "3"]) == 0
    assert capfd.readouterr().err.splitlines()[-1].endswith("make resume-tiny GPU= CAFFE=./caffe KEEP=3")
    assert run.main(["resume", "tiny", "--caffe", "./caffe", "--keep", "0"]) == 1
    assert capfd.readouterr().err.splitlines() == [
        "training.run: error: KEEP=0: not a number of snapshots, 1 or more; run: make resume-tiny GPU= CAFFE=./caffe"
    ]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "GPU=",
        "GPU=1",
        "GPU=0,1",
        "CAFFE=/usr/bin/caffe",
        "PRECISION=bf16",
        "DETERMINISTIC=1",
        "KEEP=3",
        "GPU= PRECISION=bf16 DETERMINISTIC=1 KEEP=3",
    ],
)
def test_what_make_was_given_is_in_the_command_that_goes_on(tmp_path, given):
    """Through the Makefile itself: its defaults, and how its variables come here."""
    told = tmp_path / "python"
    told.write_text(
        f"#!{sys.executable}\nimport os, sys\nfrom unittest.mock import patch\nfrom training import run\n"
        "with patch.object(run, 'train', lambda options: print(run.own_command('resume', options))):\n"
        "    run.main(sys.argv[3:])\n"
    )
    told.chmod(0o755)
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers/tiny.prototxt").touch()
    kept_out = ("GPU", "CAFFE", "CAFFE_PRECISION", "PRECISION", "KEEP", "DETERMINISTIC")
    environment = {name: value for name, value in os.environ.items() if name not in kept_out and name[:4] != "MAKE"}
    make = ["make", "-f", str(ROOT / "Makefile"), "-o", "setup", f"PYTHON={told}", "train-tiny", *given.split()]
    done = subprocess.run(make, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == f"make resume-tiny {given}".strip(), done.stderr


def test_a_command_without_make_names_the_precision_too(place, monkeypatch, capfd):
    edit("100000", "20")
    monkeypatch.setenv("CAFFE_PRECISION", "bf16")
    assert run.main(["train", "tiny", "--caffe", "./caffe", "--deterministic"]) == 0
    last = capfd.readouterr().err.splitlines()[-1]
    assert ": CAFFE_PRECISION=bf16 " in last and last.endswith(" resume tiny --caffe ./caffe --deterministic")


STAMP = "I1123 16:02:29.668105 7 __main__.py:30] "
DETERMINISTIC = ["--deterministic"]


@pytest.mark.parametrize(
    ("before", "log", "precision", "now", "told"),
    [
        ([], "Precision: fp32|Use CPU.", "", [], ""),
        ([], "Precision: fp32|Use CPU.", "bf16", [], "precision fp32 -> bf16"),
        ([], "Precision: bf16|Use CPU.", "", [], "precision bf16 -> fp32"),
        ([], "Use CPU.", "bf16", [], ""),  # real Caffe's log, which does not say
        (["--gpu=0"], "Precision: fp32|Using GPUs 0", "", ["--gpu", "0"], ""),
        (["--gpu=0"], "Precision: fp32|Using GPUs 0", "", [], "device GPU 0 -> the CPU"),
        (["--gpu=0"], "Precision: fp32|Using GPUs 0|No CUDA device is available: running on the CPU.", "", [], ""),
        ([], "Precision: fp32|Use CPU.", "", ["--gpu", "0,1"], "device the CPU -> GPU 0,1"),
        (DETERMINISTIC, "Precision: bf16|Use CPU.", "", [], "precision bf16 -> fp32, deterministic yes -> no"),
        ([], "Precision: fp32|Use CPU.", "", DETERMINISTIC, "deterministic no -> yes"),
    ],
)
def test_other_settings_than_those_of_the_run_before(place, monkeypatch, capfd, before, log, precision, now, told):
    edit("100000", "20")
    write_snapshot(9, shapes=[(2,)])
    folder = Path("runs/tiny")
    run.journal.add(folder, event="start", iteration=0, solver=SOLVER, command=["caffe", "train", *before])
    (folder / "train.log").write_text("".join(f"{STAMP}{line}\n" for line in log.split("|")))
    monkeypatch.setenv("CAFFE_PRECISION", precision)
    assert run.main(["resume", "tiny", "--caffe", "./caffe", *now]) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "unlike" in line]
    assert said == [f"training.run: unlike the run before: {told}"] * bool(told)


def test_two_runs_of_one_folder(place, capsys):
    log = Path("runs/tiny/train.log")
    runner = start("train", log)
    assert f"runs/tiny: in use by another run, process {runner.pid}" in refused(capsys, "train", "tiny")
    runner.kill()
    runner.communicate()
    assert "in use by another run" in refused(capsys, "train", "tiny"), "Caffe lives on, and so does its lock"
    os.kill(int(log.read_text().split()[2]), signal.SIGINT)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(UserError), run.locked(log.parent):
            return
        time.sleep(0.01)
    pytest.fail("the folder is still locked")


def test_a_failing_caffe(place, capfd):
    Path("caffe").write_text("#!/bin/sh\necho 'F1123 out of memory' >&2\nkill -ABRT $$\n")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 134
    said = capfd.readouterr().err
    assert "F1123 out of memory" in said and "caffe failed with status 134; no snapshot in runs/tiny" in said
    assert journal_lines()[1]["status"] == 134


def break_model(iteration: int, breakage: str) -> str:
    """Spoil the snapshot of an iteration in one way; what the runner should say of it."""
    model_path, state_path = write_snapshot(iteration)
    model, state = model_path.read_bytes(), state_path.read_bytes()
    if breakage == "model cut":
        model_path.write_bytes(model[:-1])
        return f"{model_path}: cut or damaged"
    if breakage == "model cut between two layers":
        whole = caffe_pb2.NetParameter.FromString(model)
        del whole.layer[1]
        model_path.write_bytes(whole.SerializeToString())
        assert model.startswith(whole.SerializeToString())
        return f"{model_path}: 1 blobs for 2 in the state"
    if breakage == "state cut":
        state_path.write_bytes(state[:-2])
        return f"{state_path}: cut or damaged"
    if breakage == "blob cut":
        short = caffe_pb2.NetParameter.FromString(model)
        del short.layer[0].blobs[0].data[4:]
        model_path.write_bytes(short.SerializeToString())
        return f"{model_path}: a blob of shape (2, 3) has 4 numbers"
    if breakage == "empty":
        model_path.write_bytes(b"")
        return f"{model_path}: 0 blobs for 2 in the state"
    if breakage == "no state":
        state_path.unlink()
        return f"{state_path}: No such file"
    if breakage == "no model":
        model_path.unlink()
        return f"{state_path}: names {model_path} as its weights"
    if breakage == "of another iteration":
        moved = caffe_pb2.SolverState.FromString(state)
        moved.iter = 7
        state_path.write_bytes(moved.SerializeToString())
        return f"{state_path}: holds iteration 7"
    assert breakage == "moved"
    moved = caffe_pb2.SolverState.FromString(state)
    moved.learned_net = "elsewhere/tiny_iter_12.caffemodel"
    state_path.write_bytes(moved.SerializeToString())
    return f"{state_path}: names elsewhere/tiny_iter_12.caffemodel as its weights"


BREAKAGES = (
    "model cut", "model cut between two layers", "state cut", "blob cut", "empty",
    "no state", "no model", "of another iteration", "moved",
)  # fmt: skip


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_newest_snapshot_that_is_whole(place, breakage):
    for iteration in (10, 11, 9):  # numbers, not names, say which is newest
        write_snapshot(iteration)
    reason = break_model(12, breakage)
    write_snapshot(8)
    newest, faults = run.newest_whole("runs/tiny/tiny")
    assert newest.iteration == 11
    assert len(faults) == 1 and faults[0].startswith(reason)


def test_no_snapshot_to_resume(place, capsys):
    error = refused(capsys, "resume", "tiny")
    assert error.startswith("training.run: error: runs/tiny: no snapshot to resume from; start with: ")
    assert error.endswith("-m training.run train tiny --caffe ./caffe")
    assert not Path("runs").exists()
    break_model(12, "state cut")
    assert "runs/tiny: no snapshot is whole; remove the folder" in refused(capsys, "resume", "tiny")


def test_train_never_overwrites_a_run(place, capsys):
    write_snapshot(4000)
    error = refused(capsys, "train", "tiny")
    assert "has snapshots up to iteration 4000; go on with: " in error
    assert error.endswith(" resume tiny --caffe ./caffe; or remove the folder to start again")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("base_lr", "base_lrr", '"base_lrr". Did you mean base_lr?'),
        ("fixed", "fixd", "lr_policy 'fixd'; Caffe has fixed, step"),
        ("models/tiny/", "models/other/", "models/other/train_val.prototxt: no such net; make models"),
        ('snapshot_prefix: "runs/tiny/tiny"', "", "solvers/tiny.prototxt: snapshot_prefix is missing"),
        ("runs/tiny/tiny", "tiny", "snapshot_prefix names no folder"),
        ("max_iter", "snapshot_format: HDF5 max_iter", "snapshot_format HDF5 cannot be checked"),
    ],
)
def test_a_wrong_solver(place, capsys, old, new, message):
    edit(old, new)
    error = refused(capsys, "train", "tiny")
    assert message in error
    assert not Path("runs").exists()


def test_what_is_missing_is_named(place, capsys):
    assert "solvers/nin9.prototxt: no such solver; those here: tiny" in refused(capsys, "train", "nin9")
    Path("data/lmdb/mean.binaryproto").unlink()
    assert "data/lmdb/mean.binaryproto: no mean there" in refused(capsys, "train", "tiny")
    Path("data/lmdb/train_lmdb/data.mdb").unlink()
    error = refused(capsys, "train", "tiny")
    assert "data/lmdb/train_lmdb: no LMDB there" in error and error.endswith("run: make lmdb")
    Path("solvers/tiny.prototxt").write_bytes(b"\xff\xfe")
    assert "solvers/tiny.prototxt: not a text file" in refused(capsys, "train", "tiny")


def test_a_missing_command(place, capsys):
    assert run.main(["train", "tiny", "--caffe", "./no-caffe"]) == 1
    assert "./no-caffe: no such command; make setup installs it" in capsys.readouterr().err


def test_a_journal_cut_by_a_crash_goes_on(place, capsys):
    write_snapshot(11)
    runs = Path("runs/tiny/journal.jsonl")
    run.journal.add(runs.parent, event="start", iteration=0, solver=SOLVER)
    runs.write_bytes(runs.read_bytes() + b'{"event": "end", "iterat')
    run.journal.add(runs.parent, event="start", iteration=11, solver=SOLVER)
    assert [entry["iteration"] for entry in run.journal.read(runs.parent)] == [0, 11]


@pytest.mark.parametrize("path", SOLVERS, ids=lambda path: path.stem)
def test_every_solver_goes_by_the_reports_habits(path):
    solver = text_format.Parse(path.read_text(), caffe_pb2.SolverParameter())
    assert solver.net == f"models/{path.stem}/train_val.prototxt" and (ROOT / solver.net).is_file()
    assert solver.snapshot_prefix == f"runs/{path.stem}/{path.stem}"
    assert solver.momentum == pytest.approx(0.9)
    assert (solver.test_interval, list(solver.test_iter), solver.snapshot) == (1000, [100], 2000)
    assert not solver.HasField("solver_mode")
    assert solver.weight_decay == pytest.approx(1e-4 if path.stem.startswith("nin") else 5e-4)


def test_the_reports_five_and_two_rates_for_alexnet():
    """Each of them is dropped by hand, and starts at a rate of the report's range."""
    parsed = (text_format.Parse(path.read_text(), caffe_pb2.SolverParameter()) for path in SOLVERS)
    solvers = {path.stem: solver for path, solver in zip(SOLVERS, parsed, strict=True) if family_of(path.stem)}
    assert list(solvers) == ["alexnet1", "alexnet2", "nin1", "nin2", "nin3"]
    for solver in solvers.values():
        assert solver.lr_policy == "fixed" and 0.001 - 1e-9 <= solver.base_lr <= 0.01 + 1e-9
    assert solvers["alexnet1"].base_lr == pytest.approx(0.01) and solvers["alexnet2"].base_lr < 0.009


def test_no_two_solvers_have_one_seed():
    seeds = [text_format.Parse(path.read_text(), caffe_pb2.SolverParameter()).random_seed for path in SOLVERS]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("name", ["nin1", "alexnet1"])
def test_plateau_takes_the_place_of_the_eye_and_nothing_else(name):
    """Its loss is the mean of an epoch: Caffe reads the images in one order, and the loss goes with them."""
    eye, plateau = (
        text_format.Parse((ROOT / f"solvers/{each}.prototxt").read_text(), caffe_pb2.SolverParameter())
        for each in (name, f"{name}_plateau")
    )
    assert (plateau.lr_policy, plateau.gamma) == ("plateau", pytest.approx(0.1))
    assert list(plateau.plateau_winsize) == [5000, 5000]
    assert plateau.average_loss == plateau.test_interval == 1000
    for field in ("lr_policy", "gamma", "plateau_winsize", "average_loss", "net", "snapshot_prefix", "random_seed"):
        eye.ClearField(field)
        plateau.ClearField(field)
    assert eye == plateau


@pytest.mark.parametrize("name", ["nin1", "alexnet1"])
def test_prelu_solvers_differ_in_nothing_but_the_net(name):
    eye, prelu = (
        text_format.Parse((ROOT / f"solvers/{each}.prototxt").read_text(), caffe_pb2.SolverParameter())
        for each in (name, f"{name}_prelu")
    )
    for field in ("net", "snapshot_prefix", "random_seed"):
        eye.ClearField(field)
        prelu.ClearField(field)
    assert eye == prelu
