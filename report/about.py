"""The head of the page: the data, the length of each training, and their distance from the report."""

from dataclasses import dataclass

from harness.duration import duration
from report.experiment import Experiment, Model
from report.full_runs import TRAIN_IMAGES, VAL_IMAGES
from report.measure.settings import differences
from report.paper import family_of
from reproduce import schedule

_EPOCH = TRAIN_IMAGES / 100  # iterations, at the report's batch size
_SPLITS = {"holdout": "held out of train"}


@dataclass(frozen=True)
class Trained:
    """One training, as the head of the page shows it."""

    name: str
    epochs: str
    net: str  # its differences from the net of the repository; "" if there are none
    time: str
    machine: str
    tests: str  # the number of val images that a test averages


def data(experiment: Experiment) -> str | None:
    """The images, in a sentence; None if their source is not known."""
    if experiment.build is None:
        return None
    records = experiment.build["records"]
    counts = ", ".join(f"{count:,} {_SPLITS.get(split, split)}" for split, count in records.items() if count)
    kind = "Drawings made by code, no photographs" if experiment.drawn else "Images"
    return f"{kind}, from {experiment.build['source']}: {counts}."


def trained(experiment: Experiment) -> list[Trained]:
    """Every training."""
    return [
        Trained(
            model.name,
            _length(model),
            differences(model.name),
            duration(model.curves.seconds),
            "; ".join(dict.fromkeys(run["machine"] for run in model.journal if run.get("machine"))) or "not recorded",
            _tests(experiment, model),
        )
        for model in experiment.models
    ]


def _length(model: Model) -> str:
    epochs = model.epoch(model.reached)
    iterations = f"{model.reached:,} iterations"
    if epochs is None:
        return iterations
    images = f"{model.set.images:,} images" if model.set and model.set.images else "the train set"
    return f"{epochs:.3g} epochs of {images} ({iterations})"


def _tests(experiment: Experiment, model: Model) -> str:
    images, val = experiment.tested(model), (experiment.build or {}).get("records", {}).get("val")
    if images is None:
        return "not known"
    return f"{images:,} of {val:,}" if val and images < val else f"all {images:,}"


def caveats(experiment: Experiment) -> list[str]:
    """The reasons why the page's numbers do not reproduce the report's, a sentence each; [] for full runs."""
    found = []
    if experiment.drawn:
        found.append("The images are drawings made by code: the numbers say nothing about Tiny ImageNet.")
    if rehearsed := [model.name for model in experiment.models if model.rehearsal]:
        found.append(f"Rehearsals, trained for a part of the report's length: {', '.join(rehearsed)}.")
    if experiment.build is not None:
        records = experiment.build["records"]
        images = records["train"] + records.get("holdout", 0)
        if images != TRAIN_IMAGES:
            found.append(f"These runs had {images:,} training images, not the {TRAIN_IMAGES:,} of Tiny ImageNet.")
        if records["val"] != VAL_IMAGES:
            found.append(f"Val has {records['val']:,} images, not {VAL_IMAGES:,}.")
    if short := _short(experiment):
        found.append(f"Trained for less than the report's length: {', '.join(short)}.")
    if other := [model.name for model in experiment.models if family_of(model.name) and differences(model.name)]:
        found.append(f"The nets of {', '.join(other)} are not the report's.")
    if found:
        found.append("So these numbers show the way, and are no reproduction of the report's.")
    return found


def _short(experiment: Experiment) -> list[str]:
    """The report's models with fewer epochs than in reproduce/schedule.toml, and their epochs."""
    whole = {name: plan.until / _EPOCH for name, plan in schedule.read().items()}
    found = []
    for model in experiment.models:
        epochs = model.epoch(model.reached)
        if model.name in whole and epochs is not None and epochs < whole[model.name]:
            found.append(f"{model.name} {epochs:.3g} epochs of {whole[model.name]:g}")
    return found
