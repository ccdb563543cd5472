"""Shows the state of every run: its progress, its best val accuracy, and the trend of its loss.

    python -m training.status [NAME ...]                        (make status)

training/falling.py defines a steady fall. If the loss no longer falls, a line below the table gives the command
that drops the rate. If the solver's lr_policy drops it, the line gives the time of that drop.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import commands
from harness.errors import UserError
from training import curves, running
from training.falling import Trend, Verdict, last_good, rises, verdict
from training.snapshots import newest_whole, snapshots
from training.solver_file import parse_solver, read, solver_path
from training.training_set import training_set

_DROP = 10  # the factor of the report's drops
_REPORTS_DROPS = 100  # the report's two drops together
_FIRST = "nin1"  # the model to begin with if none has begun: the report's best
HEAD = ("run", "state", "iteration", "epoch", "lr", "loss", "best val accuracy", "newest whole snapshot")


@dataclass(frozen=True)
class Status:
    """One run's row of the table, and the advice below it."""

    name: str
    cells: tuple[str, ...]
    advice: str
    stopped: float | None = None  # time of the stop; None if a plain resume is not the next step


def status(name: str) -> Status | None:
    """The status of the run of solvers/<name>.prototxt, None if there is none. Raises UserError if the solver cannot be
    read.
    """
    path = solver_path(name)
    solver = parse_solver(read(path), path)
    folder = Path(solver.snapshot_prefix).parent
    seen = curves.read(folder)
    process = running.process(folder)
    if not seen.runs and process is None and not snapshots(solver.snapshot_prefix):
        return None
    images = training_set(solver)
    epoch = images.iterations if images else None
    newest, faults = newest_whole(solver.snapshot_prefix)
    iteration = max(seen.iteration, newest.iteration if newest else 0)
    best = seen.best()
    rate = next((point.lr for point in reversed(seen.displayed) if point.lr is not None), None)
    done = newest is not None and newest.iteration >= solver.max_iter
    workers = seen.runs[-1].workers if seen.runs else 1
    told = verdict(seen, epoch / workers if epoch else solver.test_interval or 1000)
    next_drop = _next_drop(solver, rate, iteration)
    cells = (
        f"running ({process})" if process is not None else "finished" if done else "stopped",
        f"{iteration}/{solver.max_iter}",
        f"{seen.batches(iteration) / epoch:.2f}" if epoch else "",
        "" if rate is None else f"{rate:g}",
        f"{seen.displayed[-1].loss:.4g}" if seen.displayed else "",
        f"{best[1]:.4g} at {best[0]}" if best else "",
        "none" if newest is None else f"iteration {newest.iteration}",
    )
    advice = _advice(told, rate, seen, next_drop, _Lower(name, solver.lr_policy == "fixed", process is not None))
    if done and process is None:
        advice += f". max_iter is reached: raise it in solvers/{name}.prototxt to go on"
    learns = told.trend in (Trend.FALLS, Trend.TOO_EARLY)
    stopped = newest.state.stat().st_mtime if newest and learns and not done and process is None else None
    return Status(name, cells, "\n".join([advice, *(f"    not whole: {fault}" for fault in faults)]), stopped)


@dataclass(frozen=True)
class _Lower:
    """The ways in which a user lowers the rate of a run."""

    name: str
    obeyed: bool  # True for lr_policy "fixed", the only one that `make lr-NAME` accepts
    running: bool

    def command(self, rate: float | None) -> str:
        """The command that divides a rate."""
        if not self.obeyed:
            return self.by_hand()
        return f"make lr-{self.name} LR={rate / _DROP:.3g}" if rate else ""

    def by_hand(self, first: str = "") -> str:
        """The same without `make lr-NAME`. For a run that cannot continue, `first` is done before."""
        steps = ["stop it"] * self.running + [first] * bool(first)
        steps.append(f"divide base_lr by {_DROP} in solvers/{self.name}.prototxt")
        return f"{', '.join(steps)}, then: make resume-{self.name}"


def _next_drop(solver, rate: float | None, iteration: int) -> str:
    """The time at which the solver's policy next lowers the rate, "" if only the user does."""
    match solver.lr_policy:
        case "fixed":
            return ""
        case "step" | "multistep" as policy:
            every = range(0, solver.max_iter, max(1, solver.stepsize))
            steps = solver.stepvalue if policy == "multistep" else every
            coming = [step for step in steps if iteration < step < solver.max_iter]
            return f"next at iteration {min(coming)}" if coming else ""
        case "plateau":
            windows = solver.plateau_winsize
            after = [solver.base_lr * solver.gamma ** (drop + 1) * 1.001 for drop in range(len(windows))]
            left = windows[sum((rate or solver.base_lr) <= dropped for dropped in after) :]
            return f"next when the loss had no new minimum for {left[0]} iterations" if left else ""
        case _:
            return "a little at every iteration"


def _advice(told: Verdict, rate: float | None, seen: curves.Curves, next_drop: str, lower: _Lower) -> str:
    words = f"the loss: {told}" if told.trend is Trend.TOO_EARLY else f"the loss {told}"
    if told.trend is Trend.DIVERGED:
        # Do not advise `make lr-NAME`. It resumes where a run stopped and refuses if later snapshots are gone.
        steps = lower.by_hand("remove the snapshots since then")
        return f"{words} after iteration {last_good(seen)}. {steps[0].upper()}{steps[1:]}"
    if told.trend is Trend.NOT_BEGUN:
        return f"{words}. This rate may be too high or too low for the net's start; lower: {lower.command(rate)}"
    if told.trend is Trend.FALLS_NO_LONGER:
        if next_drop:
            return f"{words}. Its lr_policy drops the rate by itself, {next_drop}"
        highest = max(point.lr for point in seen.displayed if point.lr is not None)
        reports = " (the report dropped twice, and stopped)" if rate * _REPORTS_DROPS <= highest * 1.001 else ""
        return f"{words}. Drop the rate{reports}: {lower.command(rate)}"
    if told.trend is Trend.FALLS:
        words += ". Go on"
        losses = [value for iteration, value in seen.series("loss") if iteration >= told.since]
        if rises(losses):
            words += "; but the loss of val rises: overfitting, where the report stopped (section 5)"
    return words


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows in columns as wide as their widest cell."""
    width = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    return "\n".join("  ".join(map(str.ljust, row, width)).rstrip() for row in rows)


def _next(found: list[Status], untrained: list[str]) -> list[str]:
    """The next steps: resume the run that was stopped last, start a model that has no run."""
    stopped = [one for one in found if one.stopped is not None]
    running = any(one.cells[0].startswith("running") for one in found)
    lines = []
    if stopped and not running:
        last = max(stopped, key=lambda one: one.stopped)
        lines.append(f"stopped last: {last.name}; go on with it: make resume-{last.name}")
    if untrained:
        # If the report's first model has begun, name one of the others only if it is the only one.
        first = _FIRST if _FIRST in untrained else untrained[0] if len(untrained) == 1 else "MODEL"
        start = f"make train-{first}"
        lines.append(
            f"no run yet: {', '.join(untrained)}; start one with: {start}" if found else f"no run yet: {start}"
        )
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.status", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="solvers; default: all in solvers/")
    names = parser.parse_args(argv).names or sorted(path.stem for path in Path("solvers").glob("*.prototxt"))
    runs, untrained, wrong = [], [], 0
    for name in names:
        try:
            found = status(name)
        except (UserError, OSError) as error:
            print(f"training.status: error: {error}", file=sys.stderr)
            wrong = 1
        else:
            (runs if found else untrained).append(found or name)
    if not names:
        print(f"training.status: error: no solver in {os.path.abspath('solvers')}", file=sys.stderr)
        return 1
    if runs:
        rows = [HEAD, *((one.name, *one.cells) for one in runs)]
        print("\n".join([table(rows), "", *(f"{one.name}: {one.advice}" for one in runs)]))
    for line in _next(runs, untrained):
        print(line)
    return wrong


if __name__ == "__main__":
    commands.run(main)
