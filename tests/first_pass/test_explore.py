"""make explore with a stand-in for `caffe`: the trainings, their resumption and GPUs, and the refused requests."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from first_pass import choice, outcome
from first_pass import explore as explore
from first_pass.devices import devices
from first_pass.outcome import Outcome
from first_pass.tries import FOLDER
from harness.errors import UserError
from report import trainings
from tests.ensemble.small_ensemble import raw_datum, write_lmdb, write_mean
from tests.training import tiny_run
from training import running
from training.solver_file import parse_solver
from training.training_set import test_set as images_of_test

ROOT = Path(__file__).parents[2]
NET = """name: "tiny"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mean_file: "data/lmdb/mean.binaryproto" }
  data_param { source: "data/lmdb/train_lmdb" batch_size: 3 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  data_param { source: "data/lmdb/val_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "drop" type: "Dropout" bottom: "data" top: "data" dropout_param { dropout_ratio: 0.5 } }
"""
# The accuracy of the stand-in's test at the end: by its rate, and the loss falls to 0.7 or stays.
FAKE_EDITS = {
    "accuracy = 0.25": 'accuracy = " + str({9.0: 1, 0.01: 0.5, 0.003: 0.75, 0.001: 0.875}[round(solver.base_lr, 6)]) + "',
    "1 - iteration / 100": "(float('nan') if solver.base_lr > 1 else 1 - iteration / 100 if solver.base_lr > 0.002 "
    "else 1 + iteration % 3)",
    "iteration % 10 == 0": "iteration % solver.display == 0",
}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """`tiny` and the similar `other`, with 60 train and 10 val images in batches of 3: 20 iterations an epoch."""
    tiny_run.make(tmp_path)
    (tmp_path / "data/lmdb/train_lmdb/data.mdb").unlink()
    for split, count in {"train": 60, "val": 10}.items():
        datums = [raw_datum(np.zeros((1, 2, 2), np.uint8), 0)] * count
        write_lmdb(tmp_path / f"data/lmdb/{split}_lmdb", [str(number) for number in range(count)], datums)
    write_mean(tmp_path / "data/lmdb/mean.binaryproto", np.zeros((1, 2, 2), np.float32))
    (tmp_path / "models/tiny/train_val.prototxt").write_text(NET)
    (tmp_path / "solvers/other.prototxt").write_text(tiny_run.SOLVER.replace("runs/tiny/tiny", "runs/other/other"))
    fake = (tmp_path / "caffe").read_text()
    for before, after in FAKE_EDITS.items():
        assert before in fake
        fake = fake.replace(before, after)
    (tmp_path / "caffe").write_text(fake)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.delenv("CAFFE_PRECISION", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "engine"), str(ROOT)]))
    return tmp_path


def run(*options: str) -> int:
    return explore.main(["--models=tiny", "--caffe=./caffe", *options])


def logs() -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in Path(FOLDER, "runs").glob("*/train.log")}


def refused(capsys, *options: str) -> str:
    assert run(*options) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("explore: error: ")
    return said[-1]


def test_a_whole_exploration(place, capsys):
    assert run("--epochs=2", "--rates=0.01,0.003 0.001") == 0
    said = capsys.readouterr()
    solver = parse_solver(Path(FOLDER, "solvers/tiny-0.003.prototxt").read_text(), Path("it"))
    assert (solver.max_iter, solver.test_interval, solver.snapshot, list(solver.test_iter)) == (40, 20, 10, [2])
    assert solver.base_lr == pytest.approx(0.003) and solver.display == solver.average_loss == 5
    assert (
        solver.net == "models/tiny-0.003/train_val.prototxt" and solver.snapshot_prefix == "runs/tiny-0.003/tiny-0.003"
    )
    assert {path.name for path in Path(FOLDER, "runs").iterdir()} == {"tiny-0.01", "tiny-0.003", "tiny-0.001"}
    found = outcome.load(FOLDER / outcome.NAME)
    assert [(one.rate, one.accuracy, one.learns) for one in found.outcomes] == [
        (0.01, 0.5, True), (0.003, 0.75, True), (0.001, 0.875, False)
    ]  # fmt: skip
    first = found.outcomes[0]
    assert (first.iterations, first.epochs, first.val_images, found.train_images) == (40, 2, 10, 60)
    assert first.losses[:2] == [[0.0, 1.0], [0.25, 0.95]] and first.accuracies == [[2.0, 0.5]]
    assert found.command == 'make explore EPOCHS=2 MODELS="tiny" RATES="0.01,0.003 0.001"' and found.precision == "fp32"
    assert found.machine and found.data.startswith("mean ")
    assert (
        "Continue with tiny at 0.003: of the 2 of 3 that still learn it has the highest accuracy on val, 0.7500"
        in said.out
    )
    assert (
        "tiny at 0.001 has 0.8750, but its loss has not begun to fall." in said.out
        and "which is within noise" in said.out
    )
    assert "a part of Tiny ImageNet" in said.out and re.search(r"^tiny +0\.01 +2 +0\.6", said.out, re.M)
    before = logs()
    assert run("--epochs=2", "--rates=0.01,0.003 0.001") == 0
    assert logs() == before, "what is finished is not trained again"
    assert run("--epochs=3", "--rates=0.003") == 0
    assert outcome.load(FOLDER / outcome.NAME).outcomes[0].iterations == 60
    assert "Resuming from runs/tiny-0.003/tiny-0.003_iter_40" in logs()["tiny-0.003"], "more epochs go on"


def test_a_try_that_diverges_knows_no_image(place, capsys):
    """Its accuracy is 1 in Caffe's words."""
    assert run("--epochs=2", "--rates=9 0.003") == 0
    assert "Continue with tiny at 0.003" in capsys.readouterr().out
    diverged, other = outcome.load(FOLDER / outcome.NAME).outcomes
    assert (diverged.accuracy, diverged.best, diverged.loss, diverged.learns) == (0, 0, 99, False)
    assert (diverged.trend, other.accuracy) == ("diverged", 0.75)
    assert "NaN" not in (FOLDER / outcome.NAME).read_text()


def test_tries_that_begin_a_models_own_training_are_kept_as_such(place):
    """Those at its solver's rate and with its net's own dropout."""
    own = parse_solver(Path("solvers/tiny.prototxt").read_text(), Path("it")).base_lr
    assert run("--epochs=2", f"--rates=0.003 {own:g}") == 0
    (found,) = trainings.of_tries(FOLDER.absolute())
    assert (found.name, found.command) == ("tiny", f"make explore EPOCHS=2 MODELS=tiny RATES={own:g}")
    assert (found.iterations, found.epochs) == (40, 2.0) and found.accuracy[-1][0] == 2
    assert trainings.of_tries(Path("nowhere")) == []
    write_mean(place / "data/lmdb/mean.binaryproto", np.ones((1, 2, 2), np.float32))
    assert trainings.of_tries(FOLDER.absolute()) == [], "they were trained on other images"


def test_the_precision_is_that_of_the_runs(place, monkeypatch):
    """Not that of the call that finds them trained already."""
    assert run("--epochs=1", "--rates=0.01") == 0
    monkeypatch.setenv("CAFFE_PRECISION", "bf16")
    assert run("--epochs=1", "--rates=0.01") == 0
    assert outcome.load(FOLDER / outcome.NAME).precision == "fp32"


def start(*options: str) -> subprocess.Popen:
    """An exploration of tries that do not end (max_iter over 100), when its tries train."""
    words = [sys.executable, "-m", "first_pass.explore", "--models=tiny", "--caffe=./caffe", "--epochs=50", *options]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def says(process: subprocess.Popen, words: str) -> None:
    """Read what it says up to a line with these words."""
    assert any(words in line for line in process.stderr), f"never said: {words}"


def trains(count: int) -> bool:
    return sum("lr =" in text for text in logs().values()) == count


def test_ctrl_c_and_on(place, capfd):
    first = start("--rates=0.01 0.003", "--jobs=2")
    wait_for(lambda: trains(2))
    assert "in use by another run, process" in refused(capfd, "--epochs=50"), "two explorations of one folder"
    os.killpg(first.pid, signal.SIGINT)
    said = first.communicate(timeout=120)[1]
    assert first.returncode == 130 and "stopped; the same command goes on" in said, said
    assert all(text.count("interrupts: 1\n") == 1 for text in logs().values())
    stopped = {path.stem for path in Path(FOLDER, "runs").glob("*/*.solverstate")}
    assert len(stopped) == 2 and not Path(FOLDER, outcome.NAME).exists()
    second = start("--rates=0.01")
    wait_for(lambda: logs()["tiny-0.01"].count("Resuming from") == 1)
    says(second, "explore: tiny at 0.01: on from iteration ")
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=120)
    assert second.returncode == 130


def test_after_kill_9_what_still_trains_is_waited_for(place):
    first = start("--rates=0.01")
    wait_for(lambda: trains(1))
    first.kill()
    first.communicate()
    run_folder = FOLDER / "runs/tiny-0.01"
    left = running.process(run_folder)
    assert left is not None, "the try goes on"
    second = start("--rates=0.01")
    says(second, f"tiny at 0.01: process {left} still trains it")
    os.kill(left, signal.SIGINT)
    wait_for(lambda: "Resuming from" in logs()["tiny-0.01"])
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=120) == 130
    with contextlib.suppress(ValueError):
        second.communicate()


def test_one_on_each_gpu(place):
    """The stand-in waits until three train at once: with fewer places it would wait for ever, and be killed."""
    fake = Path("caffe").read_text()
    meet = (
        "met = Path('met'); met.mkdir(exist_ok=True); (met / flags['gpu']).touch()\n"
        "deadline = time.monotonic() + 60\n"
        "while len(list(met.iterdir())) < 3 and time.monotonic() < deadline: time.sleep(0.02)\n"
        "assert len(list(met.iterdir())) == 3\n"
    )
    Path("caffe").write_text(fake.replace("iteration, weights = 0", f"{meet}iteration, weights = 0", 1))
    assert run("--epochs=1", "--gpu=0,3,1") == 0
    commands = [json.loads(path.read_text().splitlines()[0])["command"] for path in FOLDER.glob("runs/*/journal.jsonl")]
    assert sorted(command[-1] for command in commands) == ["--gpu=0", "--gpu=1", "--gpu=3"]


def test_places(monkeypatch, tmp_path):
    assert devices("", 1) == [""] and devices("", 3) == ["", "", ""]
    assert devices("2", 1) == ["2"] and devices("0,1", 2) == ["0", "1", "0", "1"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="nvidia-smi finds no GPU"):
        devices("all", 1)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 0; echo 1; echo 2\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert devices("all", 1) == ["0", "1", "2"]
    with pytest.raises(UserError, match="-1 is no GPU's number"):
        devices("0,-1", 1)


def test_dropout(place):
    assert run("--epochs=1", "--rates=0.01", "--dropouts=0.3 0.5") == 0
    for ratio in ("0.3", "0.5"):
        assert (
            f"dropout_ratio: {ratio}" in Path(FOLDER, f"models/tiny-0.01-dropout{ratio}/train_val.prototxt").read_text()
        )
    assert [one.dropout for one in outcome.load(FOLDER / outcome.NAME).outcomes] == [0.3, 0.5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epochs=0"], 'EPOCHS="0": wants a whole number'),
        (["--epochs=-1"], 'EPOCHS="-1"'),
        (["--epochs=x"], "EPOCHS"),
        (["--epochs="], "EPOCHS"),
        (["--rates=fast"], "fast is no number from 1e-09"),
        (["--rates=0.01 0"], 'RATES="0.01 0": 0 is no number'),
        (["--rates=nan"], "nan is no number"),
        (["--rates="], "no number; as RATES="),
        (["--rates=0.01 0.010000001"], "two tries are called tiny-0.01"),
        (["--dropouts=1"], "DROPOUTS"),
        (["--jobs=0"], 'JOBS="0"'),
        (["--gpu=x"], "x is no GPU's number"),
        (["--models="], "names no model"),
        (["--models=nin9"], "solvers/nin9.prototxt: no such solver; those here: other, tiny"),
        (["--caffe=./nothing"], "./nothing: no such command; make setup"),
    ],
)
def test_bad_options_leave_nothing(place, capsys, options, said):
    assert said in refused(capsys, *options)
    assert not Path("runs").exists()


def test_no_lmdb(place, capsys):
    Path("data/lmdb/train_lmdb/data.mdb").unlink()
    assert "data/lmdb/train_lmdb: no LMDB there" in refused(capsys)
    assert not Path("runs").exists()


def test_other_settings_are_not_mixed(place, capsys):
    assert run("--epochs=1", "--rates=0.01") == 0
    net, solver = Path("models/tiny/train_val.prototxt"), Path("solvers/tiny.prototxt")
    solver.write_text(tiny_run.SOLVER + "momentum: 0.5\n")
    said = refused(capsys, "--epochs=2", "--rates=0.01")
    assert "was begun with other settings (momentum: 0 -> 0.5); remove runs/explore/runs/tiny-0.01" in said
    solver.write_text(tiny_run.SOLVER)
    net.write_text(NET.replace("0.5", "0.6"))
    assert "with another net than tiny's is now" in refused(capsys, "--epochs=2", "--rates=0.01")
    net.write_text(NET)
    mean = Path("data/lmdb/mean.binaryproto")
    mean.write_bytes(mean.read_bytes() + b" ")
    assert "on other images than data/lmdb has" in refused(capsys, "--epochs=2", "--rates=0.01")


def test_a_damaged_state(place, capsys):
    assert run("--epochs=1", "--rates=0.01") == 0
    Path(FOLDER, "solvers/tiny-0.01.prototxt").write_text("base_lrr: 1")
    assert "solvers/tiny-0.01.prototxt:1:1" in refused(capsys, "--epochs=1", "--rates=0.01")
    Path(FOLDER, "solvers/tiny-0.01.prototxt").unlink()
    assert "its solver or net is gone; remove runs/explore/runs/tiny-0.01" in refused(
        capsys, "--epochs=1", "--rates=0.01"
    )


def test_a_snapshot_or_a_log_that_is_damaged(place, capsys):
    assert run("--epochs=1", "--rates=0.01") == 0
    (model,) = FOLDER.glob("runs/*/*.caffemodel")
    model.write_bytes(model.read_bytes()[:-4])
    assert run("--epochs=1", "--rates=0.01") == 0, "trained anew, for nothing is whole"
    assert logs()["tiny-0.01"].count("Solving") == 2
    Path(FOLDER, "runs/tiny-0.01/train.log").write_text("")
    assert "tells of no test at iteration 20; remove runs/tiny-0.01" in refused(capsys, "--epochs=1", "--rates=0.01")


def test_a_try_that_fails(place, capsys):
    fake = Path("caffe").read_text()
    Path("caffe").write_text(
        fake.replace("iteration, weights = 0", "assert solver.base_lr < 0.009\niteration, weights = 0", 1)
    )
    assert run("--epochs=1", "--rates=0.01 0.003") == 1
    said = capsys.readouterr().err
    assert "tiny at 0.01: caffe failed with status 1" in said and "tiny at 0.003: finished" in said
    assert not Path(FOLDER, outcome.NAME).exists()
    Path("caffe").write_text(fake)
    assert run("--epochs=1", "--rates=0.01 0.003") == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"outcomes": [{}]}', '{"outcomes": []}', "[" * 100_000])
def test_results_that_are_damaged(tmp_path, text):
    (tmp_path / "explore.json").write_text(text)
    with pytest.raises(outcome.UserError, match="explore.json: not what `make explore` writes"):
        outcome.load(tmp_path / "explore.json")


def made(model: str, rate: float, accuracy: float, learns: bool = True) -> Outcome:
    return Outcome(model, rate, None, 3, 3000, accuracy, 10_000, accuracy, 4.0, learns, "falls steadily" if learns
                   else "no longer falls steadily", 60.0, 1, [[0, 5.3]], [[3, accuracy]])  # fmt: skip


def test_the_choice():
    alexnet, nin = made("alexnet1", 0.01, 0.25, learns=False), made("nin1", 0.01, 0.2)
    chosen, reason = choice.choose([alexnet, nin, made("nin1", 0.001, 0.1)])
    assert chosen is nin, "what still learns goes before what is higher"
    # Newcombe's interval by hand: Wilson's of 0.2 and 0.1 at 10,000 images are 0.1923 to 0.2080 and 0.0943 to 0.1060
    assert "0.1000 [0.0902, 0.1098] more than nin1 at 0.001, which is beyond noise" in reason
    assert reason.endswith("alexnet1 at 0.01 has 0.2500, but its loss no longer falls steadily")
    chosen, reason = choice.choose([alexnet, made("nin1", 0.01, 0.2, learns=False)])
    assert chosen is alexnet and reason.startswith("none still learns; of all it has the highest")
    assert choice.choose([nin])[1].startswith("the only one that still learns, with an accuracy on val, 0.2000")
    assert "within noise" in choice.choose([nin, made("nin1", 0.003, 0.195)])[1]
    best = choice.best_of_each_model([alexnet, made("alexnet1", 0.003, 0.2), nin])
    assert {model: one.rate for model, one in best.items()} == {"alexnet1": 0.003, "nin1": 0.01}


def test_images_of_the_test_phase(place):
    solver = parse_solver(Path("solvers/tiny.prototxt").read_text(), Path("it"))
    found = images_of_test(solver)
    assert (found.batch, found.images, found.iterations) == (4, 10, 2.5)
