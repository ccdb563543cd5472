"""The reasons against keeping a measurement in results/.

A measurement may be kept if it is on all of Tiny ImageNet, trained whole, by committed code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ensemble.scoring.trained_on import other_images
from harness.errors import UserError
from report.experiment import Experiment, Model

TRAIN_IMAGES = 100_000  # all of Tiny ImageNet (section 2), held-out images included
VAL_IMAGES = 10_000
SHORT, CHANGES = "short", "changes"
ALLOWED = (SHORT, CHANGES)  # the words that ALLOW= accepts


@dataclass(frozen=True)
class Reason:
    """A reason why something is not kept, and the word of ALLOW= that keeps it all the same."""

    text: str
    allow: str | None = None

    def __str__(self) -> str:
        return self.text + (f" (ALLOW={self.allow} keeps it all the same)" if self.allow else "")


def standing(reasons: Iterable[Reason], allowed: Sequence[str]) -> list[Reason]:
    """The reasons that ALLOW= does not lift, each once."""
    return list(dict.fromkeys(reason for reason in reasons if reason.allow not in allowed))


def of_data(experiment: Experiment) -> list[Reason]:
    """Reasons that hold for every number of this data."""
    if experiment.build is None:
        return [Reason(f"{experiment.data}: no build.json, so it is not known what was trained on; `make lmdb`")]
    records = experiment.build["records"]
    images, found = records["train"] + records.get("holdout", 0), []
    if images != TRAIN_IMAGES:
        found.append(Reason(f"{experiment.data}: {images} train images, not the {TRAIN_IMAGES} of Tiny ImageNet"))
    if records["val"] != VAL_IMAGES:
        found.append(of_val_images(records["val"]))
    if experiment.drawn:
        found.append(Reason(f"{experiment.data}: drawings, not the images of Tiny ImageNet"))
    return found


def of_val_images(images: int) -> Reason:
    return Reason(f"{images} val images, not the {VAL_IMAGES} of Tiny ImageNet")


def of_commits(commits: Iterable[str | None]) -> list[Reason]:
    """Reasons from the code that measured: it must be known, and in a commit."""
    found = []
    for commit in dict.fromkeys(one for said in commits for one in (said or "").split("; ")):
        if not commit:
            found.append(Reason("no commit is known of the code that measured it", CHANGES))
        elif commit.endswith("with changes"):
            found.append(Reason(f"measured by the code of commit {commit} that no commit holds", CHANGES))
    return found


def of_model(experiment: Experiment, name: str, iteration: int | None = None) -> list[Reason]:
    """Reasons from a training, or from its snapshot at an iteration."""
    model = next((model for model in experiment.models if model.name == name), None)
    if model is None:
        return [Reason(f"{experiment.runs} has no training of {name}")]
    return of_training(model, experiment, model.reached if iteration is None else iteration)


def of_training(model: Model, experiment: Experiment, iteration: int) -> list[Reason]:
    found = []
    if model.rehearsal:
        found.append(Reason(f"{model.name} was rehearsed at a part of its length"))
    try:
        if other_images(model.folder, experiment.data):
            found.append(Reason(f"{model.name} was trained on other images than those of {experiment.data}"))
    except (UserError, OSError) as error:
        found.append(Reason(str(error)))
    if model.reached < model.solver.max_iter:
        found.append(Reason(f"{model.name} was trained for {_length(model, model.reached)}", SHORT))
    elif iteration < model.reached:
        found.append(Reason(f"{model.name} was measured after {_length(model, iteration)}", SHORT))
    return found + of_commits(run.get("commit") for run in model.journal or [{}])


def _length(model: Model, iteration: int) -> str:
    epochs, whole = model.epoch(iteration), model.epoch(model.solver.max_iter)
    if None in (epochs, whole):
        return f"{iteration:,} of its solver's {model.solver.max_iter:,} iterations"
    return f"{epochs:.3g} of its solver's {whole:.3g} epochs"
