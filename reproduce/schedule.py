"""schedule.toml: the rate drops of each model, and the solver in force from each iteration on."""

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from harness.errors import UserError
from training.set_rate import with_rate
from training.solver_file import REHEARSAL, parse_solver

FILE = "schedule.toml"
# The solver's fields in iterations or batches, which LENGTH scales besides the schedule.
_LENGTHS = ("test_iter", "test_interval", "display", "average_loss", "snapshot")


@dataclass(frozen=True)
class Phase:
    """One rate of a training: iterations `begin` to `end` with base_lr `rate`."""

    begin: int
    end: int
    rate: float


@dataclass(frozen=True)
class Schedule:
    """The phases of one model, in their order and without gaps."""

    model: str
    phases: tuple[Phase, ...]

    @property
    def until(self) -> int:
        return self.phases[-1].end

    def at(self, iteration: int) -> Phase | None:
        """The phase that an iteration belongs to; None from the end on."""
        return next((phase for phase in self.phases if phase.begin <= iteration < phase.end), None)

    def scaled(self, length: float) -> "Schedule":
        """The schedule at another length; every phase keeps at least one iteration."""
        phases, end = [], 0
        for phase in self.phases:
            begin, end = end, max(end + 1, round(phase.end * length))
            phases.append(Phase(begin, end, phase.rate))
        return Schedule(self.model, tuple(phases))


def read(path: Path | None = None) -> dict[str, Schedule]:
    """The schedule of each model, in the order of the file. Raises UserError if it makes no sense."""
    where = str(path or FILE)
    try:
        text = path.read_text() if path else resources.files(__package__).joinpath(FILE).read_text()
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: not a table of schedules: {error}") from error
    if not tables:
        raise UserError(f"{where}: names no model")
    return {model: _schedule(model, table, f"{where}, [{model}]") for model, table in tables.items()}


def _schedule(model: str, table: object, where: str) -> Schedule:
    if not isinstance(table, dict) or table.keys() != {"rates", "until"}:
        raise UserError(f"{where}: wants rates = [[0, 0.01], ...] and until = 100_000, and nothing else")
    points, until = table["rates"], table["until"]
    pairs = isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)
    if not pairs or not points or type(until) is not int:
        raise UserError(f"{where}: rates are pairs [iteration, rate], until is an iteration")
    starts, rates = [point[0] for point in points], [point[1] for point in points]
    ends = [*starts[1:], until]
    whole = all(type(start) is int for start in starts)
    if not whole or starts[0] != 0 or any(start >= end for start, end in zip(starts, ends)):
        raise UserError(f"{where}: iterations begin at 0 and rise, up to until")
    if any(type(rate) not in (int, float) or not 1e-30 < rate < 1e30 for rate in rates):
        raise UserError(f"{where}: a rate is a number above 0")
    return Schedule(model, tuple(Phase(*phase) for phase in zip(starts, ends, map(float, rates))))


def solver_of(text: str, phase: Phase, path: Path) -> str:
    """A solver's text with a phase's rate and end, edited as by `make lr-MODEL`. All else is unchanged.

    Raises:
        UserError: the solver has no base_lr or max_iter to edit, or a policy that would not obey.
    """
    solver = parse_solver(text, path)
    if solver.lr_policy != "fixed":
        raise UserError(f'{path}: lr_policy "{solver.lr_policy}" would not obey the schedule; write "fixed"')
    if not same_rate(solver.base_lr, phase.rate):
        text = with_rate(text, f"{phase.rate:g}", path)
    return _with_number(text, "max_iter", phase.end, path)


def scaled_solver(text: str, length: float, path: Path) -> str:
    """A solver's text with all its lengths scaled and marked as a rehearsal; unchanged at length 1."""
    if length == 1:
        return text
    solver = parse_solver(text, path)
    for field, value in solver.ListFields():
        if field.name in _LENGTHS:
            value = value[0] if field.name == "test_iter" else value
            text = _with_number(text, field.name, max(1, round(value * length)), path)
    return f"{REHEARSAL}{length:g}.\n{text}"


def length_of(text: str) -> float:
    """The factor by which the lengths of a solver's text were scaled: 1 unless it is a rehearsal's."""
    found = re.match(re.escape(REHEARSAL) + r"([0-9.e+-]+)\.\n", text)
    return float(found[1]) if found else 1.0


def same_rate(one: float, other: float) -> bool:
    """True if two rates are equal in the 32 bits that the field has."""
    return np.float32(one) == np.float32(other)


def _with_number(text: str, field: str, value: int, path: Path) -> str:
    edited, count = re.subn(rf"^(\s*{field}\s*:\s*)\d+", rf"\g<1>{value}", text, flags=re.MULTILINE)
    if count != 1:
        raise UserError(f"{path}: {count} lines with {field}; the reproduction needs one that it can edit")
    parse_solver(edited, path)
    return edited
