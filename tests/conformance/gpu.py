"""make conformance-gpu: our engine on a GPU beside real Caffe's results, a line for each layer type and training.

    python -m tests.conformance.gpu [--gpu 0] [--out runs/bench/conformance_gpu.json]

Real Caffe's numbers are the recorded ones, so it needs neither real Caffe nor a network nor pytest.
Each value, gradient, displayed number and learned weight is compared with real Caffe's.
A distance is relative to the largest number of its array. A GPU adds in another order than a CPU.
So the bounds are the project's (compare.py), not the closer ones that hold on a CPU. The exit status is 1 if a
distance exceeds its bound. Without a GPU it prints a message, tries the same on the CPU and writes no file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bench.results import keep, say
from bench.table import table
from harness.errors import UserError
from harness.measurements import BENCH, check_place

from . import reference, training, trajectories
from .cases import CASES, NOT_YET
from .compare import GRADIENT, VALUE, distance
from .engines import OURS, Engine, OursOnGPU, workspace
from .reference import RUNS

TRAINED = 1e-3
"""The largest distance of displayed numbers and learned weights, after at most 60 iterations."""


def furthest(ours: dict[str, np.ndarray], real: dict[str, np.ndarray]) -> float:
    """The largest distance of two arrays of one name; infinite where one side lacks a name, 0 without any."""
    return max((distance(ours[key], real[key]) if key in ours else np.inf for key in real), default=0.0)


def layer_rows(ours: dict[str, np.ndarray], real: dict[str, np.ndarray]) -> Iterator[dict]:
    """A row for each layer type, of all its cases; `real` and `ours` by `case|blob|data` and `case|blob|diff`."""
    for kind in sorted({case.type for case in CASES}):
        names = {case.name for case in CASES if case.type == kind and case.name not in NOT_YET}
        mine, theirs = ({key: of[key] for key in of if key.partition("|")[0] in names} for of in (ours, real))
        error = next((str(value) for key, value in mine.items() if key.endswith("|error")), "")
        gradients = {key: value for key, value in theirs.items() if key.endswith("|diff")}
        values = {key: value for key, value in theirs.items() if key not in gradients}
        value, gradient = furthest(mine, values), furthest(mine, gradients)
        well = bool(theirs) and not error and value <= VALUE and gradient <= GRADIENT
        yield _row(kind, len(names), value if values else None, gradient if gradients else None, well, error)


def training_rows(engine: Engine, work: Path, real: reference.Reference) -> Iterator[dict]:
    """A row for each training of training.py and for each trajectory."""
    for name, (rate, until) in RUNS.items():
        mine, theirs = training.train(engine, work, f"gpu/{name}", rate, until), real.runs[name]
        shown = [
            distance(np.array(list(here.values())), np.array(list(there.values())))
            for here, there in ((mine.run.loss, theirs.run.loss), (mine.run.rate, theirs.run.rate))
        ]
        yield _trained(f"training {name}", until, max(shown), furthest(mine.weights, theirs.weights))
    mine = trajectories.run(engine, work, trajectories.STEMS, "gpu_trajectories")
    for name, theirs in trajectories.recorded().items():
        shown = distance(np.array(mine[name].numbers), np.array(theirs.numbers))
        lines = "" if mine[name].lines == theirs.lines else "other lines in the log"
        yield _trained(name, 20, shown, furthest(mine[name].weights, theirs.weights), lines)


def _trained(what: str, iterations: int, shown: float, weights: float, error: str = "") -> dict:
    return _row(what, iterations, shown, weights, not error and max(shown, weights) <= TRAINED, error)


def _row(what: str, count: int, values: float | None, others: float | None, well: bool, error: str) -> dict:
    return {
        "what": what,
        "cases or iterations": count,
        "values": values,
        "gradients or weights": others,
        "within": "yes" if well else f"no: {error}" if error else "no",
    }


def measure(engine: Engine) -> list[dict]:
    """All rows of the table."""
    with workspace() as work:
        training.prepare(OURS, work)
        real = reference.recorded(work)
        say(f"{len(CASES)} layer cases")
        rows = list(layer_rows(reference.run_layers(engine, work, CASES), real.layers))
        say(f"{len(RUNS)} trainings, {len(trajectories.STEMS)} trajectories")
        return [*rows, *training_rows(engine, work, real)]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table and keep it; 1 where something is out of bounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--gpu", type=int, default=0, help="its number (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=BENCH / "conformance_gpu.json", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        check_place(options.out)
    except UserError as error:
        raise SystemExit(f"conformance-gpu: {error}") from error
    there = torch.cuda.is_available()
    if not there:
        say("there is no GPU: these are the CPU's, and they are not written")
    rows = measure(OursOnGPU(options.gpu))
    print(table(rows))
    if there:
        keep(rows, options.out)
        say(f"-> {options.out}")
    wrong = [row["what"] for row in rows if row["within"] != "yes"]
    print(f"{len(rows) - len(wrong)} of {len(rows)} within bounds" + (f"; not: {', '.join(wrong)}" if wrong else ""))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
