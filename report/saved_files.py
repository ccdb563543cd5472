"""Measurements of single commands that results/ keeps unchanged: gap, views, compared, methods, benchmarks."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import whole
from ensemble import comparison_file
from harness.errors import UserError
from harness.files import whole_file
from report import compared, full_runs, results_files
from report.experiment import Experiment
from report.full_runs import Reason, of_commits, of_model, of_val_images


@dataclass(frozen=True)
class Candidate:
    """A file in runs/ that could be kept."""

    path: Path
    target: str  # the file's name in results/
    reasons: Callable[[Path], list[Reason]]
    length: Callable[[Path], float] = lambda _: (
        0.0
    )  # a file of a shorter training does not replace one of a longer training
    of_images: bool = True  # False for a file that measures this code, not Tiny ImageNet


def candidates(experiment: Experiment) -> Iterator[Candidate]:
    """All candidates in the runs folder."""
    runs = experiment.runs
    for path in sorted(runs.glob("gap_*.json")):
        yield Candidate(path, path.name, lambda path: _gap(path, experiment), _iteration)
    for path in sorted(runs.glob("views_*.json")):
        yield Candidate(path, path.name, lambda path: _views(path, experiment), _iteration)
    for path in sorted(runs.glob("compared_*.json")):
        yield Candidate(path, path.name, lambda path: _compared(path, experiment), _epochs)
    for path in sorted(runs.glob("ensemble/methods.json")):
        yield Candidate(path, path.name, lambda path: _methods(path, experiment), _iterations)
    for path in whole.files(runs / "bench"):
        yield Candidate(path, path.name, _bench, of_images=False)


def keep(one: Candidate, folder: Path, allowed: Sequence[str], replace: bool) -> list[Reason]:
    """Put a file into results/, or return the reasons against it."""
    try:
        target = folder / one.target
        if reasons := full_runs.standing(one.reasons(one.path), allowed):
            return reasons
        if target.is_file() and not replace and (reason := _no_better(one, target)):
            return [reason]
    except UserError as error:
        return [Reason(str(error))]
    with whole_file(target, "wb") as file:
        file.write(one.path.read_bytes())
    if (picture := one.path.with_suffix(".png")).is_file():
        shutil.copyfile(picture, target.with_suffix(".png"))
    return []


def _no_better(one: Candidate, target: Path) -> Reason | None:
    if target.read_bytes() == one.path.read_bytes():
        return None
    if one.length(one.path) < one.length(target):
        return Reason(f"{target} is of a longer training, and stays (REPLACE=1 replaces it)")
    if not one.of_images and (kept := whole.machine(target)) != whole.machine(one.path):
        return Reason(f"{target} is of another machine, {kept}, and stays (REPLACE=1 replaces it)")
    return None


def _gap(path: Path, experiment: Experiment) -> list[Reason]:
    found = results_files.load(path, "splits")
    try:
        images = found["splits"]["val"]["images"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not what `make gap-MODEL` writes ({error!r}); measure again") from error
    return _of_one_model(found, images, experiment)


def _views(path: Path, experiment: Experiment) -> list[Reason]:
    found = results_files.load(path, "rows")
    try:
        images = next(row["images"] for row in found["rows"] if row["split"] == "val")
    except (KeyError, TypeError, StopIteration) as error:
        raise UserError(f"{path}: not what `make views-MODEL` writes ({error!r}); measure again") from error
    return _of_one_model(found, images, experiment)


def _of_one_model(found: dict, images: int, experiment: Experiment) -> list[Reason]:
    reasons = of_model(experiment, found["model"], found["iteration"]) + of_commits([found["commit"]])
    return [*reasons, *([of_val_images(images)] if images != full_runs.VAL_IMAGES else [])]


def _compared(path: Path, experiment: Experiment) -> list[Reason]:
    found = compared.read(path)
    reasons = [reason for run in found.runs for reason in of_model(experiment, run.name, run.iterations)]
    if found.train_images != full_runs.TRAIN_IMAGES:
        reasons.append(Reason(f"{found.train_images} train images, not the {full_runs.TRAIN_IMAGES} of Tiny ImageNet"))
    return [*reasons, *([of_val_images(found.val_images)] if found.val_images != full_runs.VAL_IMAGES else [])]


def _methods(path: Path, experiment: Experiment) -> list[Reason]:
    found, about = comparison_file.read(path)
    reasons = [reason for pair in zip(found.models, found.iterations) for reason in of_model(experiment, *pair)]
    reasons += of_commits([about["commit"]])
    return [*reasons, *([of_val_images(found.images)] if found.images != full_runs.VAL_IMAGES else [])]


def _bench(path: Path) -> list[Reason]:
    return [*map(Reason, whole.missing(path)), *of_commits([whole.commit(path)])]


def _iteration(path: Path) -> float:
    return results_files.load(path)["iteration"]


def _iterations(path: Path) -> float:
    return sum(comparison_file.read(path)[0].iterations)


def _epochs(path: Path) -> float:
    return sum(run.epochs for run in compared.read(path).runs)
