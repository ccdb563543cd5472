"""Values of a solver that make no sense are named by file and line, before anything is made or stopped."""

from pathlib import Path

import pytest

from tests.training.test_run import write_snapshot
from tests.training.tiny_run import SOLVER, edit
from training import run, set_rate
from training.check_values import doubts
from training.solver_file import parse_solver

RATE = "a learning rate is a plain number above 0"


def refused(capsys, *arguments: str) -> str:
    path = Path("solvers/tiny.prototxt")
    path.write_text(path.read_text().replace("100000", "20"))  # without the refusal it ends soon
    assert run.main([*arguments, "--caffe", "./caffe"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("training.run: error: ")


@pytest.mark.parametrize("verb", ["train", "resume"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [("-0.01", "-0.01"), ("0", "0"), ("-0", "-0"), ("nan", "nan"), ("inf", "inf"), ("-inf", "-inf"), ("1e30", "1e+30")],
)
def test_a_rate_that_makes_no_sense(place, capsys, verb, value, shown):
    edit("base_lr: 0.01", f"# base_lr: 3\nbase_lr: {value}")
    assert refused(capsys, verb, "tiny").startswith(f"solvers/tiny.prototxt:4: base_lr: {shown}; {RATE}")
    assert not Path("runs").exists()


def test_no_rate_at_all(place, capsys):
    edit("base_lr: 0.01", "# base_lr: 0.01")
    assert refused(capsys, "train", "tiny").startswith(f"solvers/tiny.prototxt: base_lr is missing; {RATE}")


@pytest.mark.parametrize(
    "field",
    [
        "momentum: 1", "momentum: -0.1", "momentum: nan", "momentum2: 1", "weight_decay: -0.0005", "weight_decay: inf",
        "iter_size: 0", "average_loss: 0", "test_iter: 0", "test_interval: -1", "display: -20", "snapshot: -1",
        "clip_gradients: 0", "rms_decay: 1",
    ],
)  # fmt: skip
def test_a_field_that_makes_no_sense(place, capsys, field):
    edit("lr_policy", f"\n{field}\nlr_policy")
    assert refused(capsys, "train", "tiny").startswith(f"solvers/tiny.prototxt:5: {field}; ")
    assert not Path("runs").exists()


def test_the_second_of_two(place, capsys):
    edit("lr_policy", "test_iter: 5\ntest_iter: -3\nlr_policy")
    assert refused(capsys, "train", "tiny").startswith("solvers/tiny.prototxt:5: test_iter: -3; ")


@pytest.mark.parametrize(
    ("policy", "field"),
    [("step", "stepsize: 0"), ("sigmoid", "stepsize: -2"), ("exp", "gamma: -0.1"), ("multistep", "gamma: nan"),
     ("plateau", "gamma: inf"), ("inv", "power: inf"), ("poly", "power: nan")],
)  # fmt: skip
def test_a_field_of_a_policy(place, capsys, policy, field):
    edit('lr_policy: "fixed"', f'\n\n{field}\nlr_policy: "{policy}"')
    assert refused(capsys, "train", "tiny").startswith(f"solvers/tiny.prototxt:6: {field}; ")


@pytest.mark.parametrize(("value", "what"), [("0", "solvers/tiny.prototxt: max_iter is empty or 0; give the number"),
                                             ("-7", "solvers/tiny.prototxt:5: max_iter: -7; a training has 1")])  # fmt: skip
def test_no_iterations(place, capsys, value, what):
    edit("max_iter: 100000", f"max_iter: {value}")
    assert refused(capsys, "train", "tiny").startswith(what)


def test_what_a_solver_may_well_say(place, capfd):
    edit(
        "max_iter: 100000",
        "max_iter: 20 momentum: 0 weight_decay: 0 gamma: 0.1 clip_gradients: 35 display: 0 snapshot: 0",
    )
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0


def test_make_lr_mends_a_rate_and_stops_nothing_for_another_fault(place, capsys, monkeypatch):
    edit("base_lr: 0.01", "base_lr: -0.01")
    edit("max_iter: 100000", "max_iter: 20")
    write_snapshot(12, shapes=[(2,)])
    assert set_rate.main(["tiny", "--lr=0.001", "--caffe", "./caffe"]) == 0
    edit("max_iter: 20", "max_iter: 40 momentum: 1.5")
    monkeypatch.setattr(set_rate, "stop", lambda *_: pytest.fail("the run was stopped"))
    monkeypatch.setattr(set_rate.running, "process", lambda _: 7)
    before = Path("solvers/tiny.prototxt").read_bytes()
    assert set_rate.main(["tiny", "--lr=0.0001", "--caffe", "./caffe"]) == 1
    assert "solvers/tiny.prototxt:5: momentum: 1.5; momentum is from 0" in capsys.readouterr().err
    assert Path("solvers/tiny.prototxt").read_bytes() == before


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ("base_lr: 100", "base_lr: 100 is far above the rates that train"),
        ("gamma: 10", "gamma: 10 raises the rate at each drop"),
        ("stepvalue: 40 stepvalue: 30", "stepvalue: [40, 30] does not rise"),
        ("stepvalue: 30 stepvalue: 30", "stepvalue: [30, 30] does not rise"),
        ("base_lr: 1 gamma: 0.1 stepvalue: 30 stepvalue: 40", None),
    ],
)
def test_what_trains_but_hardly_as_meant(fields, line):
    solver = parse_solver(SOLVER.replace("fixed", "multistep").replace("base_lr: 0.01", "") + fields, Path("it"))
    assert [told.startswith(line) for told in doubts(solver)] == [True] * (line is not None)
