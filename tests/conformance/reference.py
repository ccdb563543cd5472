"""Real Caffe's results: from a live run where it is installed, otherwise from recorded/ (record.py)."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np

from . import training
from .caffe_log import Run, skeleton
from .cases import CASES
from .engines import OURS, REAL, Engine
from .layer_case import Case
from .training import ACCUMULATED, DROP, FIXED, HERE, Result

RECORDED = HERE / "recorded"
# name: (rate, iterations). `straight` is never stopped; in `drop` the policy divides the rate by ten at 20.
RUNS = {"straight": (FIXED, 60), "drop": (DROP, 40), "accumulated": (ACCUMULATED, 20)}
SNAPSHOTS = (
    "straight_iter_20.caffemodel",
    "straight_iter_20.solverstate",
    "straight_iter_40.caffemodel",
    "straight_iter_60.caffemodel",
    "drop_iter_40.caffemodel",
    "accumulated_iter_20.caffemodel",
)


@dataclasses.dataclass
class Reference:
    """Real Caffe's answers: the runs by name, and every layer case's arrays by key (run_cases.py)."""

    runs: dict[str, Result]
    skeleton: list[str]
    layers: dict[str, np.ndarray]


def run_layers(engine: Engine, work: Path, table: list[Case]) -> dict[str, np.ndarray]:
    """Run the cases in one process of `engine`; its arrays by `case|blob|data` and `case|blob|diff`."""
    out = f"{engine.name.replace(' ', '_')}.npz"
    (work / "cases.json").write_text(json.dumps([dataclasses.asdict(case) for case in table]))
    engine.python(HERE / "run_cases.py", ["cases.json", out], work)
    with np.load(work / out) as file:
        return dict(file)


def live(work: Path) -> Reference:
    """Run real Caffe on everything, in a prepared workspace. Its snapshots stay in real/."""
    runs = {name: training.train(REAL, work, f"real/{name}", rate, until) for name, (rate, until) in RUNS.items()}
    return Reference(runs, skeleton(runs["straight"].log), run_layers(REAL, work, CASES))


def recorded(work: Path) -> Reference:
    """Read recorded/, and lay its snapshots into the workspace's real/, where a live run leaves them."""
    (work / "real").mkdir()
    for name in SNAPSHOTS:
        shutil.copyfile(RECORDED / name, work / "real" / name)
    table = json.loads((RECORDED / "training.json").read_text())
    runs = {}
    for name, (_, until) in RUNS.items():
        numbers = {
            part: {int(iteration): value for iteration, value in rows.items()}
            for part, rows in table["runs"][name].items()
        }
        weights = training.weights(OURS, work, f"real/{name}_iter_{until}.caffemodel")
        runs[name] = Result(Run(**numbers), weights)
    layers = {}
    for path in sorted((RECORDED / "layers").glob("*.npz")):
        with np.load(path) as file:
            layers |= dict(file)
    return Reference(runs, table["skeleton"], layers)


def record(reference: Reference, work: Path) -> None:
    """Write a live reference into recorded/."""
    runs = {name: dataclasses.asdict(result.run) for name, result in reference.runs.items()}
    text = json.dumps({"runs": runs, "skeleton": reference.skeleton}, indent=1)
    (RECORDED / "training.json").write_text(text + "\n")
    for name in SNAPSHOTS:
        shutil.copyfile(work / "real" / name, RECORDED / name)
    (RECORDED / "layers").mkdir(exist_ok=True)
    by_type: dict[str, dict] = defaultdict(dict)
    for key, value in reference.layers.items():
        by_type[key.partition("/")[0]][key] = value
    for type_, arrays in by_type.items():
        np.savez_compressed(RECORDED / "layers" / f"{type_}.npz", **arrays)
