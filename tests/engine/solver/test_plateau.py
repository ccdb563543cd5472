"""lr_policy "plateau" of BVLC/caffe pull request 4606: the rate falls when the loss has stopped falling."""

import json

import pytest
from caffe import PrototxtError
from caffe._solver.progress import Plateau
from caffe.proto import caffe_pb2

from tests.engine.build import input_layer
from tests.engine.solver.test_sgd import make_solver

# The loss is the mean of the input, so a test sets it by hand.
NET = input_layer(data=(2, 3)) + (
    'layer { name: "scaled" type: "InnerProduct" bottom: "data" top: "scaled" param { lr_mult: 0 } '
    "param { lr_mult: 0 } inner_product_param { num_output: 1 "
    'weight_filler { type: "constant" value: 0.16666667 } } loss_weight: 1 }'
)
TEXT = 'lr_policy: "plateau" base_lr: 0.5 gamma: 0.1 plateau_winsize: 3 plateau_winsize: 2 snapshot_prefix: "run" '


def plateau_solver(losses, more=""):
    solver = make_solver(TEXT + more, NET)
    solver.add_callback(lambda: solver.net.blobs["data"].data.fill(losses[solver.iter]), lambda: None)
    return solver


def rates(solver, count):
    """The rate that each of the next iterations trained with."""
    found = []
    apply_update = solver.apply_update

    def noted():
        found.append(round(solver.lr, 7))
        apply_update()

    solver.apply_update = noted
    solver.step(count)
    solver.apply_update = apply_update
    return found


#         0  1  2  3    4  5  6  7  8  9  10 11
LOSSES = [9, 8, 8, 8.5, 8, 7, 9, 9, 9, 6, 9, 9, 9]
# No loss is below 8 for 3 iterations after 1: the rate drops at 4 and the count restarts.
# The loss is 7 at 5; the second and last drop comes 2 later.
RATES = [0.5] * 4 + [0.05] * 3 + [0.005] * 6


def test_falls_when_the_minimum_is_old():
    solver = plateau_solver(LOSSES)
    assert rates(solver, 13) == RATES
    assert solver.current_step == 2
    assert solver.progress.plateau == Plateau(minimum_loss=pytest.approx(6), last_event=9)


def test_never_falls_while_the_loss_does():
    assert rates(plateau_solver([20 - i for i in range(12)]), 12) == [0.5] * 12


def test_watches_the_averaged_loss():
    """The lucky 5 is never reached again, but the mean of two keeps falling."""
    losses = [9, 5, 8, 6, 6.5]
    assert rates(plateau_solver(losses), 5) == [0.5] * 4 + [0.05]
    assert rates(plateau_solver(losses, "average_loss: 2"), 5) == [0.5] * 5


def test_status_lines(log_lines):
    plateau_solver(LOSSES, "display: 2").step(8)
    assert [line for line in log_lines if line.startswith("Plateau")] == [
        "Plateau Status: Iteration 0, current minimum_loss = 9",
        "Plateau Status: Iteration 2, current minimum_loss = 8",
        "Plateau Status: Iteration 4, step = 1",
        "Plateau Status: Iteration 4, current minimum_loss = 8",
        "Plateau Status: Iteration 6, current minimum_loss = 7",
        "Plateau Status: Iteration 7, step = 2",
    ]


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_resumes_from_a_snapshot(stop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = plateau_solver(LOSSES)
    solver.step(stop)
    solver.snapshot()
    resumed = plateau_solver(LOSSES)
    resumed.restore(f"run_iter_{stop}.solverstate")
    assert resumed.progress.plateau == solver.progress.plateau
    assert rates(resumed, 13 - stop) == RATES[stop:]


def test_without_the_resume_file_the_count_starts_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = plateau_solver(LOSSES)
    solver.step(4)
    solver.snapshot()
    (tmp_path / "run_iter_4.resume.json").unlink()
    resumed = plateau_solver([1] + [9] * 12)
    resumed.restore("run_iter_4.solverstate")
    assert rates(resumed, 5) == [0.5] * 3 + [0.05] * 2


def test_other_policies_note_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = make_solver('lr_policy: "fixed" base_lr: 1 snapshot_prefix: "run"', NET)
    solver.snapshot()
    assert json.loads((tmp_path / "run_iter_0.resume.json").read_text())["plateau"] is None
    solver.restore("run_iter_0.solverstate")


@pytest.mark.parametrize("winsize", ["", "plateau_winsize: 0", "plateau_winsize: 5 plateau_winsize: -1"])
def test_needs_windows(winsize):
    solver = make_solver(f'lr_policy: "plateau" base_lr: 1 gamma: 0.1 {winsize}', NET)
    with pytest.raises(PrototxtError, match="plateau_winsize > 0"):
        solver.step(1)


def test_the_field_is_far_from_caffes_numbers():
    """41, which the pull request chose, is layer_wise_reduce in Caffe 1.0."""
    fields = caffe_pb2.SolverParameter.DESCRIPTOR.fields_by_name
    assert fields["plateau_winsize"].number == 4606
    assert fields["layer_wise_reduce"].number == 41
    assert sorted(f.number for f in fields.values())[-2] == 42
