"""How every run stands: how far it is, its best val accuracy, and whether its loss still falls steadily.

    python -m solvers.status [NAME ...]                        (make status)

What "steadily" is, and why: solvers/falling.py. Where the loss no longer falls, the command that drops the
rate is named.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import commands
from solvers import InputError, curves, running
from solvers.falling import Trend, Verdict, last_good, rises, verdict
from solvers.snapshots import newest_whole, snapshots
from solvers.solver_file import parse_solver, read, solver_path
from solvers.training_set import training_set

_DROP = 10  # by what the report divided the rate
_REPORTS_DROPS = 100  # its two drops together
HEAD = ("run", "state", "iteration", "epoch", "lr", "loss", "best val accuracy", "newest whole snapshot")


@dataclass(frozen=True)
class Status:
    """One run's row of the table, and what to say of it below."""

    name: str
    cells: tuple[str, ...]
    advice: str


def status(name: str) -> Status | None:
    """How the run of solvers/<name>.prototxt stands, None without one; InputError where the solver cannot be read."""
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
    cells = (
        f"running ({process})" if process is not None else "finished" if done else "stopped",
        f"{iteration}/{solver.max_iter}",
        f"{seen.batches(iteration) / epoch:.2f}" if epoch else "",
        "" if rate is None else f"{rate:g}",
        f"{seen.displayed[-1].loss:.4g}" if seen.displayed else "",
        f"{best[1]:.4g} at {best[0]}" if best else "",
        "none" if newest is None else f"iteration {newest.iteration}",
    )
    advice = _advice(name, told, rate, seen, done and process is None)
    return Status(name, cells, "\n".join([advice, *(f"    not whole: {fault}" for fault in faults)]))


def _advice(name: str, told: Verdict, rate: float | None, seen: curves.Curves, done: bool) -> str:
    words = f"the loss: {told}" if told.trend is Trend.TOO_EARLY else f"the loss {told}"
    lower = f"make lr-{name} LR={rate / _DROP:.3g}" if rate else ""
    if told.trend is Trend.DIVERGED:
        words += f" after iteration {last_good(seen)}. Remove the snapshots since then, then: {lower}"
    elif told.trend is Trend.NOT_BEGUN:
        words += f". This rate may be too high or too low for the net's start; lower: {lower}"
    elif told.trend is Trend.FALLS_NO_LONGER:
        highest = max(point.lr for point in seen.displayed if point.lr is not None)
        reports = " (the report dropped twice, and stopped)" if rate * _REPORTS_DROPS <= highest * 1.001 else ""
        words += f". Drop the rate{reports}: {lower}"
    elif told.trend is Trend.FALLS:
        words += ". Go on"
        losses = [value for iteration, value in seen.series("loss") if iteration >= told.since]
        if rises(losses):
            words += "; but the loss of val rises: overfitting, where the report stopped (section 5)"
    return f"{words}. max_iter is reached: raise it in solvers/{name}.prototxt to go on" if done else words


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows in columns as wide as their widest cell."""
    width = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    return "\n".join("  ".join(map(str.ljust, row, width)).rstrip() for row in rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m solvers.status", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="solvers; default: all in solvers/")
    names = parser.parse_args(argv).names or sorted(path.stem for path in Path("solvers").glob("*.prototxt"))
    rows, advices, untrained, wrong = [HEAD], [], [], 0
    for name in names:
        try:
            found = status(name)
        except (InputError, OSError) as error:
            print(f"solvers.status: error: {error}", file=sys.stderr)
            wrong = 1
        else:
            if found is None:
                untrained.append(name)
                continue
            rows.append((found.name, *found.cells))
            advices.append(f"{found.name}: {found.advice}")
    if not names:
        print(f"solvers.status: error: no solver in {os.path.abspath('solvers')}", file=sys.stderr)
        return 1
    if advices:
        print("\n".join([table(rows), "", *advices]))
    if untrained:
        print(f"no run yet: {', '.join(untrained)}; start one with: make train-{untrained[0]}")
    return wrong


if __name__ == "__main__":
    commands.run(main)
