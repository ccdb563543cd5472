"""Finds values of a solver with which no training makes sense, before training, by file and line."""

import math
from collections.abc import Callable
from pathlib import Path

from harness.errors import UserError
from training.edits import POLICY_FIELDS
from training.solver_file import field_values


def is_rate(value: float) -> bool:
    """True if a number can be a learning rate: above 0, and one that 32 bits hold."""
    return 1e-30 < value < 1e30


def _at_least(least: int) -> Callable[[float], bool]:
    return lambda value: value >= least


_LARGEST_RATE = 10
_OF_POLICIES = {"gamma", "power", "stepsize"}  # fields that only some lr_policies read

#: Each field's requirement, as a check and in words. An unset field keeps Caffe's default, which makes sense.
_NEEDS: dict[str, tuple[Callable[[float], bool], str]] = {
    "base_lr": (is_rate, "a learning rate is a plain number above 0, such as base_lr: 0.001"),
    "momentum": (lambda value: 0 <= value < 1, "momentum is from 0 to below 1, such as momentum: 0.9"),
    "momentum2": (lambda value: 0 <= value < 1, "momentum2 is from 0 to below 1, such as momentum2: 0.999"),
    "weight_decay": (lambda value: 0 <= value < 1e30, "weight decay is 0 or more, such as weight_decay: 0.0005"),
    "max_iter": (_at_least(1), "a training has 1 iteration or more, such as max_iter: 30000"),
    "iter_size": (_at_least(1), "an iteration takes 1 batch or more"),
    "average_loss": (_at_least(1), "the displayed loss is the mean of 1 iteration or more"),
    "test_iter": (_at_least(1), "a test takes 1 batch or more"),
    "test_interval": (_at_least(0), "tests are some iterations apart; 0 is no test"),
    "display": (_at_least(0), "displays are some iterations apart; 0 is no display"),
    "snapshot": (_at_least(0), "snapshots are some iterations apart; 0 is one at the end"),
    "clip_gradients": (lambda value: value != 0 and not math.isnan(value), "0 clips every gradient to nothing"),
    "stepsize": (_at_least(1), "drops of the rate are 1 iteration or more apart"),
    "gamma": (lambda value: 0 <= value < 1e30, "gamma is what the rate is multiplied with, such as gamma: 0.1"),
    "power": (math.isfinite, "power is a plain number"),
    "rms_decay": (lambda value: 0 <= value < 1, "rms_decay is from 0 to below 1"),
}


def check_values(text: str, solver, path: Path) -> None:
    """Raise UserError for the first field whose value makes no sense, with its line."""
    if not solver.HasField("base_lr"):
        raise UserError(f"{path}: base_lr is missing; {_NEEDS['base_lr'][1]}")
    for field, given in solver.ListFields():
        if field.name in _OF_POLICIES - set(POLICY_FIELDS.get(solver.lr_policy, ())):
            continue
        is_right, needs = _NEEDS.get(field.name, (None, ""))
        values = [] if is_right is None else given if field.name == "test_iter" else [given]
        for number, value in enumerate(values):
            if not is_right(value):
                said = f"{value:.7g}" if isinstance(value, float) else value
                raise UserError(f"{path}{_line(text, field.name, number)}: {field.name}: {said}; {needs}")


def _line(text: str, name: str, number: int) -> str:
    """ ":7" for the line of a field's value, "" if the line is unknown."""
    found = field_values(text, name)
    if not found:
        return ""
    line = text.count("\n", 0, found[min(number, len(found) - 1)].start("value")) + 1
    return f":{line}"


def doubts(solver) -> list[str]:
    """One line for each value that trains, but probably not as intended."""
    lines = []
    if solver.base_lr > _LARGEST_RATE:
        lines.append(
            f"base_lr: {solver.base_lr:.7g} is far above the rates that train; Caffe's own solvers have 1 at most"
        )
    if solver.gamma > 1 and solver.lr_policy in ("step", "exp", "multistep", "plateau"):
        lines.append(f"gamma: {solver.gamma:.7g} raises the rate at each drop; a tenth is gamma: 0.1")
    if solver.lr_policy == "multistep" and list(solver.stepvalue) != sorted(set(solver.stepvalue)):
        lines.append(f"stepvalue: {list(solver.stepvalue)} does not rise; Caffe takes its values in this order")
    return lines
