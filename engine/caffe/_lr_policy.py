"""The learning rate of an iteration (SGDSolver::GetLearningRate), by lr_policy.

Rates are computed with the precision that Caffe computes them with: float32, but for powers with a
whole exponent, which C++ takes in double. So 0.01 dropped by 0.1 once or twice is, to the last bit,
the 0.001 or 0.0001 that a person types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from caffe._error import PrototxtError
from caffe._log import logger
from caffe._prototxt import nearest

if TYPE_CHECKING:
    from caffe._solver import Solver

_f = np.float32
_POLICIES: dict[str, Callable[[Solver], np.float32]] = {}


def _policy(function: Callable[[Solver], np.float32]) -> Callable[[Solver], np.float32]:
    _POLICIES[function.__name__.strip("_")] = function
    return function


def learning_rate(solver: Solver) -> float:
    """The rate for the solver's current iteration; may advance its current_step.

    Raises:
        PrototxtError: an unknown policy, or a parameter that it needs is missing or negative.
    """
    policy = solver.param.lr_policy
    if policy not in _POLICIES:
        raise PrototxtError(f"Unknown learning rate policy: '{policy}'.{nearest(policy, list(_POLICIES))}")
    with np.errstate(over="ignore"):
        return float(_POLICIES[policy](solver))


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise PrototxtError(f"This lr_policy needs {what}.")


@_policy
def _fixed(solver):
    return _f(solver.param.base_lr)


@_policy
def _step(solver):
    _need(solver.param.stepsize > 0, "stepsize > 0")
    solver.current_step = solver.iter // solver.param.stepsize
    return _decayed(solver, solver.current_step)


@_policy
def _exp(solver):
    return _decayed(solver, solver.iter)


@_policy
def _inv(solver):
    _need(solver.param.gamma >= 0, "gamma >= 0")
    growth = _f(1) + _f(solver.param.gamma) * _f(solver.iter)
    return _f(solver.param.base_lr) * np.power(growth, -_f(solver.param.power))


@_policy
def _multistep(solver):
    steps = solver.param.stepvalue
    if solver.current_step < len(steps) and solver.iter >= steps[solver.current_step]:
        solver.current_step += 1
        logger.info("MultiStep Status: Iteration %d, step = %d", solver.iter, solver.current_step)
    return _decayed(solver, solver.current_step)


@_policy
def _poly(solver):
    rest = _f(1) - _f(solver.iter) / _f(solver.param.max_iter)
    return _f(solver.param.base_lr) * np.power(rest, _f(solver.param.power))


@_policy
def _sigmoid(solver):
    _need(solver.param.gamma >= 0, "gamma >= 0")
    _need(solver.param.stepsize > 0, "stepsize > 0")
    past = _f(solver.iter) - _f(solver.param.stepsize)
    return _f(solver.param.base_lr) * (_f(1) / (_f(1) + np.exp(-_f(solver.param.gamma) * past)))


def _decayed(solver: Solver, times: int) -> np.float32:
    _need(solver.param.gamma >= 0, "gamma >= 0")
    return _f(solver.param.base_lr * np.power(solver.param.gamma, np.float64(times)))
