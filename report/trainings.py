"""Trainings as results/trainings.json keeps them after their run folders are gone.

`make results` adds the trainings of runs/ to those in the file. It also adds the first pass's tries that begin a
model's own training. A longer training replaces a shorter one of the same model. results/curves.svg is drawn from all
of them.
"""

import contextlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from ensemble.scoring.trained_on import other_images
from harness.errors import UserError
from harness.files import whole_file
from report.experiment import Model, open_experiment
from training.solver_file import parse_solver
from training.solver_file import read as read_file

NAME = "trainings.json"
#: The first line of a solver by first_pass/tries.py for a try with the net's own dropout: model and rate.
_TRY = re.compile(r"\A# A try of make explore: (\S+) at ([\d.e+-]+)\.\n")


@dataclass(frozen=True)
class Training:
    """One training. Accuracies are (epoch, share of val), losses (epoch, mean of the displayed losses in it)."""

    name: str
    policy: str  # "multistep at 3200, 5600"
    seed: int
    iterations: int
    epochs: float
    hours: float
    accuracy: list[tuple[float, float]]
    loss: list[tuple[float, float]]
    drops: list[tuple[float, float, float]]  # (epoch, rate before, rate after)
    command: str
    commit: str | None
    machine: str | None
    data: str | None

    @classmethod
    def read(cls, fields: dict) -> Self:
        """Make a training from a file's fields; TypeError, ValueError or AttributeError if they are not valid."""
        curves = {at: [tuple(map(float, point)) for point in fields[at]] for at in ("accuracy", "loss", "drops")}
        if any(len(point) != size for at, size in (("accuracy", 2), ("loss", 2), ("drops", 3)) for point in curves[at]):
            raise ValueError("a point with another number of values")
        return cls(**{**fields, **curves})


def of(model: Model) -> Training:
    """Make the training to keep from a run; UserError if the length of an epoch is not known."""
    curves, set_ = model.curves, model.set
    if set_ is None or not set_.iterations:
        raise UserError(f"runs/{model.name}: its net's train set is not here, so it is not known what an epoch is")
    means: dict[int, list[float]] = {}
    for point in curves.displayed:
        means.setdefault(int(model.epoch(max(point.iteration - 1, 0))) + 1, []).append(point.loss)
    whole = int(model.epoch(curves.iteration))
    verbs = [f"{verb}-{model.name}" for verb in ("train", "resume")[: max(1, len(model.journal))]]
    journal = model.journal[-1] if model.journal else {}
    return Training(
        model.name,
        _policy(model.solver),
        model.solver.random_seed,
        curves.iteration,
        model.epoch(curves.iteration),
        round(curves.seconds / 3600, 3),
        [(model.epoch(at), value) for at, value in curves.series("accuracy")],
        [(float(number), round(sum(losses) / len(losses), 4)) for number, losses in means.items() if number <= whole],
        [(model.epoch(change.iteration), change.before, change.after) for change in curves.rate_changes],
        f"make {' '.join(verbs)}",
        journal.get("commit"),
        journal.get("machine"),
        journal.get("data"),
    )


def of_tries(folder: Path) -> list[Training]:
    """The tries of a first pass that are the first epochs of a model's own training.

    Such a try has the rate of the model's solver, and the net unchanged.

    Args:
        folder: the folder of the exploration, which is laid out like the repository. Without it the result is [].
    """
    if not folder.is_dir():
        return []
    rates = {path.stem: parse_solver(read_file(path), path).base_lr for path in Path("solvers").glob("*.prototxt")}
    with contextlib.chdir(folder):
        models = open_experiment(Path("runs"), Path("data/lmdb")).models
        return [
            replace(of(model), name=name, command=f"make explore EPOCHS={math.ceil(epochs)} MODELS={name} RATES={rate}")
            for model in models
            for name, rate in _TRY.findall(model.solver_text)
            if rates.get(name) == model.solver.base_lr and (epochs := model.epoch(model.curves.iteration))
            if model.curves.series("accuracy") and not other_images(model.folder, Path("data/lmdb"))
        ]


def _policy(solver) -> str:
    steps = ", ".join(map(str, solver.stepvalue))
    windows = ", ".join(map(str, solver.plateau_winsize))
    return solver.lr_policy + (f" at {steps}" if steps else "") + (f" over {windows} iterations" if windows else "")


def read(path: Path) -> dict[str, Training]:
    """Read the trainings by the model's name; empty without a file. UserError for a broken file."""
    if not path.is_file():
        return {}
    try:
        found = [Training.read(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
        return {training.name: training for training in found}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not what `make results` writes ({error!r}); restore it from git") from error


def merge(kept: Mapping[str, Training], new: Iterable[Training], replace: bool = False) -> dict[str, Training]:
    """The kept and the new trainings by name. A model keeps the longer, or with ``replace`` the new one."""
    merged = dict(kept)
    for training in new:
        if replace or training.name not in merged or training.epochs >= merged[training.name].epochs:
            merged[training.name] = training
    return dict(sorted(merged.items()))


def write(path: Path, trainings: Mapping[str, Training]) -> None:
    """Write the trainings, whole or not at all."""
    with whole_file(path) as file:
        json.dump([asdict(training) for training in trainings.values()], file, indent=1)
        file.write("\n")
