"""`make status`: a row for each run, and the advice that fits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.test_curves import begin, score, shown
from tests.training.test_run import break_model, write_snapshot
from tests.training.tiny_run import edit
from training import running, status

EPOCH = 100


def lines(capsys, *names) -> list[str]:
    assert status.main(list(names)) == 0
    return capsys.readouterr().out.splitlines()


def log(loss, iterations, val=lambda i: 3, rate=0.01) -> None:
    """A log of the run `tiny`, in which a test every 100 iterations marks an epoch."""
    Path("runs/tiny").mkdir(parents=True, exist_ok=True)
    text = begin()
    for i in range(0, iterations + 1, 20):
        text += score(i, i / 10000, val(i)) if i % EPOCH == 0 else ""
        text += shown(i, f"{loss(i):g}", rate)
    Path("runs/tiny/train.log").write_text(text)


@pytest.fixture
def tiny(place):
    edit("max_iter: 100000", f"max_iter: 2000 test_interval: {EPOCH} test_iter: 1")
    return place


def test_a_run_that_has_not_begun(tiny, capsys):
    assert lines(capsys) == ["no run yet: make train-tiny"]


def test_those_without_a_run_take_one_line(tiny, capsys):
    log(lambda i: 5 - i / 1000, 1500)
    for name in ("nin8", "nin9"):
        Path(f"solvers/{name}.prototxt").write_text(Path("solvers/tiny.prototxt").read_text().replace("tiny", name))
    _, row, _, advice, rest = lines(capsys)
    assert row.startswith("tiny ") and advice.startswith("tiny: ")
    assert rest == "no run yet: nin8, nin9; start one with: make train-MODEL", "not the first of the alphabet"
    Path("solvers/nin1.prototxt").write_text(Path("solvers/tiny.prototxt").read_text().replace("tiny", "nin1"))
    assert lines(capsys)[-1] == "no run yet: nin1, nin8, nin9; start one with: make train-nin1"


def test_nothing_has_begun_and_the_reports_best_net_is_named(tiny, capsys):
    for name in ("alexnet1", "nin1"):
        Path(f"solvers/{name}.prototxt").write_text(Path("solvers/tiny.prototxt").read_text().replace("tiny", name))
    assert lines(capsys) == ["no run yet: make train-nin1"]


def test_the_run_that_was_stopped_last_is_the_next_step(tiny, monkeypatch, capsys):
    for name, when in (("alexnet1", 2_000_000), ("tiny", 3_000_000), ("nin1", 1_000_000)):
        Path(f"solvers/{name}.prototxt").write_text(Path("solvers/tiny.prototxt").read_text().replace("tiny", name))
        _, state = write_snapshot(11, name=name)
        os.utime(state, (when, when))
    assert lines(capsys)[-1] == "stopped last: tiny; go on with it: make resume-tiny"
    write_snapshot(2000)
    assert lines(capsys)[-1] == "stopped last: alexnet1; go on with it: make resume-alexnet1", "tiny is finished"
    monkeypatch.setattr(running, "process", lambda folder: 7 if folder.name == "nin1" else None)
    assert "go on with it" not in "".join(lines(capsys)), "one runs"


def test_a_run_that_goes_well(tiny, capsys):
    log(lambda i: 5 - i / 1000, 1500)
    write_snapshot(1200)
    head, row, _, advice, last = lines(capsys)
    assert last == "stopped last: tiny; go on with it: make resume-tiny"
    assert row.split() == ["tiny", "stopped", "1500/2000", "0.01", "3.5", "0.15", "at", "1500", "iteration", "1200"]
    assert head.index("loss") == row.index("3.5") and head.index("newest") == row.index("iteration 1200")
    assert advice.startswith("tiny: the loss falls steadily: the later epoch is lower in 45 of 45 pairs")
    assert advice.endswith("33 would be steady. Go on")


def test_a_loss_that_no_longer_falls(tiny, capsys):
    noise = random.Random(0)
    log(lambda i: 5 - min(i, 400) / 1000 + noise.gauss(0, 0.05), 1900)
    advice = lines(capsys)[-1]
    assert "no longer falls steadily" in advice and advice.endswith(". Drop the rate: make lr-tiny LR=0.001")


BY_HAND = "divide base_lr by 10 in solvers/tiny.prototxt, then: make resume-tiny"
MULTISTEP = 'lr_policy: "multistep" gamma: 0.1 stepvalue: 1000 stepvalue: 1950 stepvalue: 5000'
PLATEAU = 'lr_policy: "plateau" gamma: 0.1 plateau_winsize: 700 plateau_winsize: 900'


@pytest.mark.parametrize(
    ("policy", "rate", "advice"),
    [
        (MULTISTEP, 0.001, "Its lr_policy drops the rate by itself, next at iteration 1950"),
        (MULTISTEP.replace("1950", "1900"), 0.0001, f"Drop the rate: {BY_HAND}"),  # 5000 is after max_iter
        ('lr_policy: "step" gamma: 0.1 stepsize: 660', 0.001, "drops the rate by itself, next at iteration 1980"),
        ('lr_policy: "step" gamma: 0.1 stepsize: 900', 0.001, f"Drop the rate: {BY_HAND}"),
        (PLATEAU, 0.01, "drops the rate by itself, next when the loss had no new minimum for 700 iterations"),
        (PLATEAU, 0.001, "drops the rate by itself, next when the loss had no new minimum for 900 iterations"),
        (PLATEAU, 0.0001, f"Drop the rate: {BY_HAND}"),
        ('lr_policy: "poly" power: 1', 0.004, "drops the rate by itself, a little at every iteration"),
    ],
)
def test_a_policy_that_drops_by_itself(tiny, capsys, policy, rate, advice):
    edit('lr_policy: "fixed"', policy)
    log(lambda i: 5 if i else 9, 1900, rate=rate)
    said = lines(capsys)[-1]
    assert "no longer falls steadily" in said and said.endswith(advice)


def test_where_the_policy_is_not_fixed_make_lr_is_not_advised(tiny, capsys):
    edit('lr_policy: "fixed"', MULTISTEP)
    log(lambda i: 5.3, 1500)
    assert lines(capsys)[-1].endswith(f"too low for the net's start; lower: {BY_HAND}")


def test_a_running_training_is_to_be_stopped_before_an_edit_by_hand(tiny, monkeypatch, capsys):
    monkeypatch.setattr(running, "process", lambda folder: 7)
    log(lambda i: 5 - i / 1000 if i < 1100 else float("nan"), 1500)
    assert f"1080. Stop it, remove the snapshots since then, {BY_HAND}" in lines(capsys)[-1]


def test_after_the_reports_two_drops(tiny, capsys):
    log(lambda i: 5 if i else 9, 1900, rate=0.01)
    path = Path("runs/tiny/train.log")
    later = begin(base_lr=0.0001, resume=1900) + "".join(shown(i, 3, 0.0001) for i in range(1900, 2500, 20))
    path.write_text(path.read_text() + later)
    assert lines(capsys)[-1].endswith("Drop the rate (the report dropped twice, and stopped): make lr-tiny LR=1e-05")


def test_overfitting(tiny, capsys):
    log(lambda i: 5 - i / 1000, 1500, val=lambda i: 3 + abs(i - 500) / 1000)
    assert lines(capsys)[-1].endswith(
        "Go on; but the loss of val rises: overfitting, where the report stopped (section 5)"
    )


def test_before_the_first_fall_and_after_the_last(tiny, capsys):
    log(lambda i: 5.3, 1500)
    assert "has not begun to fall: " in lines(capsys)[-1]
    log(lambda i: 5 - i / 1000 if i < 1100 else float("nan"), 1500)
    advice = lines(capsys)[-1]
    assert advice.endswith(
        "the loss diverged after iteration 1080. Remove the snapshots since then, "
        "divide base_lr by 10 in solvers/tiny.prototxt, then: make resume-tiny"
    )


def test_the_end_is_reached(tiny, capsys):
    log(lambda i: 5 - i / 1000, 2000)
    write_snapshot(2000)
    _, row, _, advice = lines(capsys)
    assert " finished " in row and advice.endswith("max_iter is reached: raise it in solvers/tiny.prototxt to go on")


def test_snapshots_that_are_not_whole_are_named(tiny, capsys):
    log(lambda i: 5 - i / 1000, 300)
    write_snapshot(11)
    fault = break_model(12, "state cut")
    *_, row, _, advice, named, _ = lines(capsys)
    assert row.endswith("iteration 11") and named == f"    not whole: {fault}"
    assert advice == "tiny: the loss: too early to say whether it falls steadily: 3 of 5 epochs since iteration 0"


def test_a_solver_that_cannot_be_read_does_not_hide_the_others(tiny, capsys):
    Path("solvers/broken.prototxt").write_text("base_lrr: 1")
    assert status.main([]) == 1
    told = capsys.readouterr()
    assert "no run yet: make train-tiny" in told.out and "solvers/broken.prototxt:1:1" in told.err
    assert status.main(["nin9"]) == 1
    assert "solvers/nin9.prototxt: no such solver; those here: broken, tiny" in capsys.readouterr().err


def test_no_solver_at_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status.main([]) == 1
    assert "no solver in " in capsys.readouterr().err


def test_the_training_process(tiny, capsys):
    command = [sys.executable, "-m", "training.run", "train", "tiny", "--caffe", "./caffe"]
    edit("max_iter: 2000", "max_iter: 100000")
    runner = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    folder = Path("runs/tiny")
    while not (folder / "train.log").exists() or "lr =" not in (folder / "train.log").read_text():
        time.sleep(0.01)
    assert running.process(folder) == runner.pid
    assert f" running ({runner.pid}) " in lines(capsys)[1]
    runner.kill()
    runner.wait()
    caffe = running.process(folder)
    assert caffe == int((folder / "train.log").read_text().split()[2]), "the Caffe that a killed runner leaves"
    os.kill(caffe, signal.SIGINT)
    while running.process(folder) is not None:
        time.sleep(0.01)
    assert " stopped " in lines(capsys)[1]
