"""Learning rates against Caffe's formulas in float64 (tolerance 2e-6: the engine counts in float32)."""

import math

import pytest
from caffe import PrototxtError
from caffe._files import prototxt
from caffe._solver.lr_policy import learning_rate
from caffe._solver.progress import Progress
from caffe.proto import caffe_pb2


def solver(text, iteration=0, current_step=0):
    """The arguments of learning_rate."""
    progress = Progress()
    progress.iteration, progress.current_step = iteration, current_step
    return prototxt.parse(text, caffe_pb2.SolverParameter(), "test"), progress


POLICIES = {
    "fixed": ("", lambda i: 0.03),
    "step": ("gamma: 0.5 stepsize: 7", lambda i: 0.03 * 0.5 ** (i // 7)),
    "exp": ("gamma: 0.97", lambda i: 0.03 * 0.97**i),
    "inv": ("gamma: 0.001 power: 0.75", lambda i: 0.03 * (1 + 0.001 * i) ** -0.75),
    "multistep": (
        "gamma: 0.1 stepvalue: 5 stepvalue: 20 stepvalue: 21",
        lambda i: 0.03 * 0.1 ** sum(i >= value for value in (5, 20, 21)),
    ),
    "poly": ("power: 1.5 max_iter: 40", lambda i: 0.03 * (1 - i / 40) ** 1.5),
    "sigmoid": ("gamma: 0.3 stepsize: 11", lambda i: 0.03 / (1 + math.exp(-0.3 * (i - 11)))),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_policy(policy):
    text, formula = POLICIES[policy]
    param, progress = solver(f'base_lr: 0.03 lr_policy: "{policy}" {text}')
    for iteration in range(41):
        progress.iteration = iteration
        assert learning_rate(param, progress) == pytest.approx(formula(iteration), rel=2e-6, abs=1e-12), iteration


@pytest.mark.parametrize("policy", ["multistep", "step", "exp"])
@pytest.mark.parametrize("drops, typed", [(1, "0.001"), (2, "0.0001")])
def test_rate_reached_by_steps_is_the_rate_typed_by_hand(policy, drops, typed):
    """The report's drops: base_lr 0.01 times 0.1 is bit for bit the base_lr that a user types."""
    stepped = solver(f'base_lr: 0.01 lr_policy: "{policy}" gamma: 0.1 stepsize: 1', drops, current_step=drops)
    by_hand = solver(f'base_lr: {typed} lr_policy: "fixed"')
    assert learning_rate(*stepped) == learning_rate(*by_hand)


def test_step_counts_from_the_iteration_and_multistep_from_its_state():
    assert learning_rate(*solver('base_lr: 1 lr_policy: "step" gamma: 0.5 stepsize: 10', 35)) == 0.125
    param, progress = solver(
        'base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 4', 35, current_step=1
    )
    assert learning_rate(param, progress) == 0.25 and progress.current_step == 2
    assert learning_rate(param, progress) == 0.25


def test_multistep_logs_its_drops(log_lines):
    learning_rate(*solver('base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 2', 2))
    assert "MultiStep Status: Iteration 2, step = 1" in log_lines


@pytest.mark.parametrize(
    "text, message",
    [
        ('lr_policy: "multi_step"', "Unknown learning rate policy: multi_step. Did you mean multistep"),
        ("", "Unknown learning rate policy: \\(none\\)"),
        ('lr_policy: "step" gamma: 0.1', "stepsize > 0"),
        ('lr_policy: "exp" gamma: -1', "gamma >= 0"),
        ('lr_policy: "sigmoid" gamma: 1', "stepsize > 0"),
    ],
)
def test_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        learning_rate(*solver(f"base_lr: 1 {text}"))
