"""The results of the tries: a row each, with its curves, in runs/explore/explore.json."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from first_pass.tries import Try
from harness import intervals
from harness.errors import UserError
from harness.files import whole_file
from training import curves, journal
from training.falling import Trend, begun, verdict
from training.solver_file import parse_solver, read
from training.training_set import test_set, training_set

NAME = "explore.json"
_WINDOWS = 10  # windows of a run, each a mean loss for the trend
_POINTS = 200  # the most points of a saved loss curve


@dataclass(frozen=True)
class Outcome:
    """One try at its end."""

    model: str
    rate: float
    dropout: float | None
    epochs: int
    iterations: int
    accuracy: float  # accuracy on val at the end
    val_images: int
    best: float  # highest accuracy on val of all tests
    loss: float  # train loss, the mean of the last tenth
    learns: bool  # the rule of first_pass/choice.py
    trend: str  # the trend in words
    seconds: float  # training time, tests and snapshots included
    seed: int
    losses: list[list[float]]  # [epoch, displayed train loss], thinned
    accuracies: list[list[float]]  # [epoch, accuracy on val]

    @property
    def counted(self) -> intervals.Interval:
        """The accuracy with its 95 % interval."""
        return intervals.accuracy(round(self.accuracy * self.val_images), self.val_images)

    @property
    def interval(self) -> tuple[float, float]:
        return self.counted.low, self.counted.high

    def __str__(self) -> str:
        return f"{self.model} at {self.rate:g}" + ("" if self.dropout is None else f", dropout {self.dropout:g}")


@dataclass(frozen=True)
class Exploration:
    """All tries of one command, and their provenance."""

    command: str
    commit: str | None
    machine: str | None
    data: str | None
    precision: str
    train_images: int
    time: str  # end of the exploration
    outcomes: list[Outcome]


def outcome(one: Try) -> Outcome:
    """The outcome of a complete try. Training beyond its end does not count.

    Raises:
        UserError: its log has no test at the end.
    """
    seen = curves.read(one.run)
    solver = parse_solver(read(one.solver_file), one.solver_file)
    shown = [point for point in seen.displayed if point.iteration <= one.until]
    tests = [
        (test.iteration, _right(test.outputs["accuracy"]))
        for test in seen.tested
        if test.net == 0 and "accuracy" in test.outputs and test.iteration <= one.until
    ]
    if not shown or not tests or tests[-1][0] < one.until:
        raise UserError(
            f"{one.run / curves.LOG}: tells of no test at iteration {one.until}; remove {one.run} to train it again"
        )
    window = min(one.epoch, one.until / _WINDOWS)
    told = verdict(replace(seen, displayed=shown), window)
    learns = told.trend is Trend.FALLS and begun(seen, told)
    trend = str(told) if window == one.epoch else str(told).replace("epoch", "tenth of the run")
    if told.trend is Trend.FALLS and not learns:
        trend = "has hardly begun to fall"
    val = test_set(solver)
    last = next(test for test in seen.tested if test.iteration == one.until and test.net == 0)
    thin = -(-len(shown) // _POINTS)
    return Outcome(
        one.model, one.rate, one.dropout, one.until // one.epoch, one.until,
        tests[-1][1], (val and val.images) or 1, max(value for _, value in tests),
        _finite(told.windows[-1] if told.windows else shown[-1].loss), learns, trend, round(last.seconds, 1), solver.random_seed,
        [[round(point.iteration / one.epoch, 4), _finite(point.loss)] for point in shown[::thin]],
        [[at / one.epoch, value] for at, value in tests],
    )  # fmt: skip


def _right(accuracy: float) -> float:
    return 0.0 if math.isnan(accuracy) else accuracy  # a diverged net knows no image


def _finite(loss: float) -> float:
    return round(loss, 5) if math.isfinite(loss) else 99.0  # JSON has no nan, but a diverged net must be plotted


def exploration(tries: Sequence[Try], command: str) -> Exploration:
    """The exploration of tries that are all complete. The working folder is the exploration's."""
    outcomes = [outcome(one) for one in tries]
    runs = [run for one in tries for run in journal.read(one.run)]
    images = training_set(parse_solver(read(tries[0].solver_file), tries[0].solver_file))

    def said(name: str) -> str | None:
        return "; ".join(dict.fromkeys(str(run[name]) for run in runs if run.get(name))) or None

    trained = (run for one in tries for run in curves.read(one.run).runs)
    precision = ", then ".join(dict.fromkeys(run.precision or "fp32" for run in trained))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Exploration(command, said("commit"), said("machine"), said("data"), precision, images.images, now, outcomes)


def write(path: Path, found: Exploration) -> None:
    with whole_file(path) as file:
        json.dump(asdict(found), file, indent=None, ensure_ascii=False, separators=(", ", ": "), allow_nan=False)
        file.write("\n")


def load(path: Path) -> Exploration | None:
    """The contents of a file, None without one. Raises UserError if the file is broken."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        outcomes = [_checked(row) for row in found.pop("outcomes")]
        if not outcomes or not isinstance(found["train_images"], int) or not isinstance(found["command"], str):
            raise ValueError("no outcome, or none of its own")
        return Exploration(**found, outcomes=outcomes)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not what `make explore` writes ({error!r}); remove it, and explore again") from error


def _checked(row: dict) -> Outcome:
    made = Outcome(**row)
    for field in fields(made):
        value = getattr(made, field.name)
        kind = {"model": str, "trend": str, "learns": bool, "losses": list, "accuracies": list}.get(
            field.name, (int, float)
        )
        if not isinstance(value, kind) and not (field.name == "dropout" and value is None):
            raise ValueError(f"{field.name} is {value!r}")
    for pair in (*made.losses, *made.accuracies):
        [float(x) for x in (pair[0], pair[1])]
    if not 0 <= made.accuracy <= 1 or made.val_images < 1 or made.epochs < 1:
        raise ValueError(f"an accuracy of {made.accuracy!r}")
    return made
