"""What an edited solver changes, and which edits do not do what they seem to."""

import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from solvers.edits import changes, learning_rate, without_effect


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
    lines = without_effect(before, after, 7)
    assert [line.partition(":")[0] for line in lines] == ["gamma", "stepvalue", "weights", "type"]
