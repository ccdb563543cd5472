"""The origin of every number: code, data, machine, times, and the solver texts."""

import hashlib
import platform
import shlex
from importlib import metadata

from harness import provenance as code
from harness.duration import duration
from harness.errors import UserError
from report.experiment import Experiment, Model
from training import journal

PACKAGES = ("numpy", "matplotlib", "jinja2", "pillow", "lmdb", "protobuf")


def build(experiment: Experiment) -> dict:
    mean = experiment.data / "mean.binaryproto"
    return {
        "commit": code.commit(),
        "python": platform.python_version(),
        "packages": [(name, metadata.version(name)) for name in PACKAGES],
        "build": experiment.build,
        "data": experiment.data,
        "mean": hashlib.sha256(mean.read_bytes()).hexdigest() if mean.is_file() else None,
        "models": [_shown(experiment, model) for model in experiment.models],
    }


def _shown(experiment: Experiment, model: Model) -> dict:
    val = experiment.scores(model.name, "val")
    return {
        "name": model.name,
        "solver_file": model.solver_file,
        "solver": model.solver_text,
        "time": duration(model.curves.seconds),
        "runs": _runs(model),
        "scored": (val.snapshot, val.snapshot_sha256) if val else None,
    }


def _runs(model: Model) -> list[dict]:
    try:
        edits = [edited for _, edited in journal.edits(model.journal)]
    except UserError:  # one of the solvers is broken
        edits = [{} for _ in model.journal]
    shown = []
    for run, edited in zip(model.journal, edits):
        end = run["end"] or {}
        last = end.get("iteration")
        shown.append(
            {
                "start": run["time"],
                "end": end.get("time"),
                "first": run["iteration"],
                "last": last if isinstance(last, int) else None,
                "status": end.get("status"),
                "command": shlex.join(["caffe", *map(str, run["command"][1:])]),
                "engine": run.get("engine"),
                "commit": run.get("commit"),
                "machine": run.get("machine"),
                "data": run.get("data"),
                "edits": edited,
            }
        )
    return shown
