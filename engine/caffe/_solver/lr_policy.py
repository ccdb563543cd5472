"""The learning rate of an iteration (SGDSolver::GetLearningRate), by lr_policy.

``plateau`` is not in Caffe 1.0: it is the policy of BVLC/caffe pull request 4606, with its field
plateau_winsize and its rules.

Rates are computed in Caffe's precision: float32, but double for powers with a whole exponent, as in C++.
So 0.01 dropped by 0.1 once or twice equals, to the last bit, a typed 0.001 or 0.0001.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caffe._error import PrototxtError, naming
from caffe._log import logger
from caffe._registry import Registry
from caffe._solver.progress import Progress
from caffe.proto import caffe_pb2

_f = np.float32
POLICIES: Registry[Callable[[caffe_pb2.SolverParameter, Progress], np.float32]] = Registry("learning rate policy")


def learning_rate(param: caffe_pb2.SolverParameter, progress: Progress, where: str = "") -> float:
    """The rate of the current iteration; may advance the progress's current_step.

    Args:
        where: the solver's file, for messages; "" without one.

    Raises:
        PrototxtError: an unknown policy, or a parameter that it needs is missing or negative.
    """
    policy = POLICIES.find(param.lr_policy, f"{where}: " if where else "")
    with naming(where), np.errstate(over="ignore"):
        return float(policy(param, progress))


def _need(param: caffe_pb2.SolverParameter, condition: bool, needed: str) -> None:
    if not condition:
        raise PrototxtError(f'lr_policy: "{param.lr_policy}" needs {needed}.')


@POLICIES.register("fixed")
def _fixed(param, progress):
    return _f(param.base_lr)


@POLICIES.register("step")
def _step(param, progress):
    _need(param, param.stepsize > 0, "stepsize > 0")
    progress.current_step = progress.iteration // param.stepsize
    return _decayed(param, progress.current_step)


@POLICIES.register("exp")
def _exp(param, progress):
    return _decayed(param, progress.iteration)


@POLICIES.register("inv")
def _inv(param, progress):
    _need(param, param.gamma >= 0, "gamma >= 0")
    growth = _f(1) + _f(param.gamma) * _f(progress.iteration)
    return _f(param.base_lr) * np.power(growth, -_f(param.power))


@POLICIES.register("multistep")
def _multistep(param, progress):
    steps = param.stepvalue
    if progress.current_step < len(steps) and progress.iteration >= steps[progress.current_step]:
        progress.current_step += 1
        logger.info("MultiStep Status: Iteration %d, step = %d", progress.iteration, progress.current_step)
    return _decayed(param, progress.current_step)


@POLICIES.register("poly")
def _poly(param, progress):
    rest = _f(1) - _f(progress.iteration) / _f(param.max_iter)
    return _f(param.base_lr) * np.power(rest, _f(param.power))


@POLICIES.register("sigmoid")
def _sigmoid(param, progress):
    _need(param, param.gamma >= 0, "gamma >= 0")
    _need(param, param.stepsize > 0, "stepsize > 0")
    past = _f(progress.iteration) - _f(param.stepsize)
    return _f(param.base_lr) * (_f(1) / (_f(1) + np.exp(-_f(param.gamma) * past)))


@POLICIES.register("plateau")
def _plateau(param, progress):
    """Multiply by gamma when the displayed loss has had no new minimum for plateau_winsize iterations.

    Each drop uses the next plateau_winsize; after the last one the rate stays. A drop or a new minimum
    restarts the count. The loss is the training loss, averaged over average_loss iterations. With the
    default of 1, one lucky batch sets the minimum.
    """
    windows = param.plateau_winsize
    _need(param, len(windows) > 0 and min(windows) > 0, "plateau_winsize > 0, once for each drop")
    plateau = progress.plateau
    loss = progress.smoothed_loss()
    if loss is not None and loss < plateau.minimum_loss:
        plateau.minimum_loss, plateau.last_event = loss, progress.iteration
    if (
        progress.current_step < len(windows)
        and progress.iteration >= plateau.last_event + windows[progress.current_step]
    ):
        progress.current_step += 1
        plateau.last_event = progress.iteration
        logger.info("Plateau Status: Iteration %d, step = %d", progress.iteration, progress.current_step)
    display = param.display
    if display > 0 and progress.iteration % display == 0 and plateau.last_event > progress.iteration - display:
        logger.info("Plateau Status: Iteration %d, current minimum_loss = %g", progress.iteration, plateau.minimum_loss)
    return _decayed(param, progress.current_step)


def _decayed(param: caffe_pb2.SolverParameter, times: int) -> np.float32:
    _need(param, param.gamma >= 0, "gamma >= 0")
    return _f(param.base_lr * np.power(param.gamma, np.float64(times)))
