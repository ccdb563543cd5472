"""The effects of editing a solver, and the edits that do not do what they seem to."""

import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from training.edits import changes, learning_rate, without_effect


def solver(text: str):
    return text_format.Parse(text, caffe_pb2.SolverParameter())


def test_changes_are_of_fields_not_of_text():
    before = solver('base_lr: 0.01 stepvalue: 5 lr_policy: "fixed" net: "a"')
    after = solver('# a comment\nnet: "b" lr_policy: "fixed" base_lr: 1e-3 stepvalue: [5, 9] solver_mode: CPU')
    assert changes(before, after) == {
        "net": "a -> b",
        "base_lr": "0.01 -> 0.001",
        "stepvalue": "[5] -> [5, 9]",
        "solver_mode": "GPU -> CPU",
    }


def test_fixed_obeys_an_edit():
    before, after = solver('base_lr: 0.01 lr_policy: "fixed"'), solver('base_lr: 0.001 lr_policy: "fixed"')
    assert without_effect(before, after, 2000) == []
    assert learning_rate(after, 2000) == pytest.approx(0.001)


def test_step_computes_its_rate_again():
    before = solver('base_lr: 0.1 gamma: 0.1 stepsize: 1000 lr_policy: "step"')
    after = solver('base_lr: 0.01 gamma: 0.1 stepsize: 1000 lr_policy: "step"')
    (line,) = without_effect(before, after, 2500)
    assert line.startswith('base_lr: lr_policy "step"') and "it is now 0.0001;" in line


def test_policies_that_obey_an_edited_base_lr_are_not_named():
    before = solver('base_lr: 0.1 gamma: 0.1 stepvalue: 3000 lr_policy: "multistep"')
    after = solver('base_lr: 0.01 gamma: 0.1 stepvalue: 3000 lr_policy: "multistep"')
    assert without_effect(before, after, 2500) == []
    (line,) = without_effect(before, after, 3000, drops=1)
    assert line.startswith("base_lr: ") and "it is now 0.001;" in line


def test_a_policy_that_counts_from_the_start():
    before = solver('base_lr: 0.1 lr_policy: "fixed"')
    after = solver('base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 1000')
    (line,) = without_effect(before, after, 2500)
    assert line == 'lr_policy: "step" counts from iteration 0, so the rate is now 0.025'
    plateau = solver('base_lr: 0.1 lr_policy: "plateau" gamma: 0.5 plateau_winsize: 9')
    assert without_effect(before, plateau, 2500) == []


def test_drops_that_lie_behind_stay():
    before = solver('base_lr: 0.1 gamma: 0.1 stepvalue: 1000 lr_policy: "multistep"')
    after = solver('base_lr: 0.1 gamma: 0.1 stepvalue: 4000 lr_policy: "multistep"')
    (line,) = without_effect(before, after, 2500, drops=1)
    assert line == "stepvalue: the snapshot has 1 drops behind it, and they stay"
    plateau = solver('base_lr: 0.01 gamma: 0.1 plateau_winsize: 4000 lr_policy: "plateau"')
    (line,) = without_effect(plateau, solver(str(plateau).replace("0.01", "0.02")), 2500, drops=2)
    assert "it is now 0.0002;" in line


def test_what_caffe_will_refuse_is_left_to_caffe():
    before = solver('base_lr: 0.1 gamma: 0.1 stepsize: 10 lr_policy: "step"')
    assert without_effect(before, solver('base_lr: 0.2 gamma: 0.1 lr_policy: "step"'), 2500) == []


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ('lr_policy: "exp" gamma: 0.5', 0.5),
        ('lr_policy: "inv" gamma: 4 power: 2', 2 / 81),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: [1, 2, 3]', 0.02),
        ('lr_policy: "poly" power: 2 max_iter: 8', 1.125),
        ('lr_policy: "sigmoid" gamma: -1 stepsize: 2', 1.0),
    ],
)
def test_the_rate_at_iteration_2(text, rate):
    assert learning_rate(solver(f"base_lr: 2 {text}"), 2) == pytest.approx(rate)


def test_edits_without_effect_are_named():
    before = solver('lr_policy: "fixed" base_lr: 0.01')
    after = solver('lr_policy: "fixed" base_lr: 0.01 gamma: 0.1 stepvalue: 9 weights: "w" type: "Adam"')
    after.random_seed, after.test_initialization = 5, False
    lines = without_effect(before, after, 7)
    named = [line.partition(":")[0] for line in lines]
    assert named == ["gamma", "stepvalue", "weights", "type", "random_seed", "test_initialization"]
