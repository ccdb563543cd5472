"""The learning rate of an iteration (SGDSolver::GetLearningRate), by lr_policy.

``plateau`` is not in Caffe 1.0: it is the policy of BVLC/caffe pull request 4606, with its field
plateau_winsize and its rules.

Rates are computed with the precision that Caffe computes them with: float32, but for powers with a
whole exponent, which C++ takes in double. So 0.01 dropped by 0.1 once or twice is, to the last bit,
the 0.001 or 0.0001 that a person types.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from caffe._log import logger
from caffe._registry import Registry

if TYPE_CHECKING:
    from caffe._solver.solver import Solver


@dataclass
class Plateau:
    """What the policy ``plateau`` remembers.

    Attributes:
        minimum_loss: the lowest displayed loss so far.
        last_event: the iteration that found it, or that of the last drop if that is later.
    """

    minimum_loss: float = math.inf
    last_event: int = 0


_f = np.float32
POLICIES: Registry[Callable[[Solver], np.float32]] = Registry("learning rate policy")


def learning_rate(solver: Solver) -> float:
    """The rate for the solver's current iteration; may advance its current_step.

    Raises:
        PrototxtError: an unknown policy, or a parameter that it needs is missing or negative.
    """
    policy = POLICIES.find(solver.param.lr_policy, f"{solver.where}: " if solver.where else "")
    with np.errstate(over="ignore"):
        return float(policy(solver))


def _need(solver: Solver, condition: bool, what: str) -> None:
    if not condition:
        raise solver.error(f'lr_policy: "{solver.param.lr_policy}" needs {what}.')


@POLICIES.register("fixed")
def _fixed(solver):
    return _f(solver.param.base_lr)


@POLICIES.register("step")
def _step(solver):
    _need(solver, solver.param.stepsize > 0, "stepsize > 0")
    solver.current_step = solver.iter // solver.param.stepsize
    return _decayed(solver, solver.current_step)


@POLICIES.register("exp")
def _exp(solver):
    return _decayed(solver, solver.iter)


@POLICIES.register("inv")
def _inv(solver):
    _need(solver, solver.param.gamma >= 0, "gamma >= 0")
    growth = _f(1) + _f(solver.param.gamma) * _f(solver.iter)
    return _f(solver.param.base_lr) * np.power(growth, -_f(solver.param.power))


@POLICIES.register("multistep")
def _multistep(solver):
    steps = solver.param.stepvalue
    if solver.current_step < len(steps) and solver.iter >= steps[solver.current_step]:
        solver.current_step += 1
        logger.info("MultiStep Status: Iteration %d, step = %d", solver.iter, solver.current_step)
    return _decayed(solver, solver.current_step)


@POLICIES.register("poly")
def _poly(solver):
    rest = _f(1) - _f(solver.iter) / _f(solver.param.max_iter)
    return _f(solver.param.base_lr) * np.power(rest, _f(solver.param.power))


@POLICIES.register("sigmoid")
def _sigmoid(solver):
    _need(solver, solver.param.gamma >= 0, "gamma >= 0")
    _need(solver, solver.param.stepsize > 0, "stepsize > 0")
    past = _f(solver.iter) - _f(solver.param.stepsize)
    return _f(solver.param.base_lr) * (_f(1) / (_f(1) + np.exp(-_f(solver.param.gamma) * past)))


@POLICIES.register("plateau")
def _plateau(solver):
    """Times gamma when the displayed loss has found no new minimum for plateau_winsize iterations.

    The first plateau_winsize counts until the first drop, the second until the second, and after
    the last the rate stays. A drop starts the count anew, as a new minimum does. The loss is that of
    training, averaged over average_loss iterations: with the default of 1, one lucky batch is a minimum.
    """
    windows = solver.param.plateau_winsize
    _need(solver, len(windows) > 0 and min(windows) > 0, "plateau_winsize > 0, once for each drop")
    plateau = solver.plateau
    loss = solver.smoothed_loss()
    if loss is not None and loss < plateau.minimum_loss:
        plateau.minimum_loss, plateau.last_event = loss, solver.iter
    if solver.current_step < len(windows) and solver.iter >= plateau.last_event + windows[solver.current_step]:
        solver.current_step += 1
        plateau.last_event = solver.iter
        logger.info("Plateau Status: Iteration %d, step = %d", solver.iter, solver.current_step)
    display = solver.param.display
    if display > 0 and solver.iter % display == 0 and plateau.last_event > solver.iter - display:
        logger.info("Plateau Status: Iteration %d, current minimum_loss = %g", solver.iter, plateau.minimum_loss)
    return _decayed(solver, solver.current_step)


def _decayed(solver: Solver, times: int) -> np.float32:
    _need(solver, solver.param.gamma >= 0, "gamma >= 0")
    return _f(solver.param.base_lr * np.power(solver.param.gamma, np.float64(times)))
