"""Numbers of the data set, from what `make lmdb` says it built."""

from ensemble import rule
from ensemble.scoring.records import read_mean
from harness.errors import UserError
from report import Missing
from report.experiment import Experiment
from report.ours import Ours, measures


def _each(experiment: Experiment, *splits: str) -> Ours | None:
    """Images a class of some splits together."""
    if experiment.build is None:
        return None
    images = sum(experiment.build["records"].get(split, 0) for split in splits)
    return Ours(f"{images / rule.CLASSES:g}") if images else None


@measures("classes")
def classes(experiment: Experiment) -> Ours | None:
    try:
        return Ours(str(len(experiment.classes)))
    except Missing:
        return None


@measures("train-per-class")
def train(experiment: Experiment) -> Ours | None:
    ours = _each(experiment, "train", "holdout")
    held_out = (experiment.build or {}).get("records", {}).get("holdout", 0) // rule.CLASSES
    return Ours(ours.value, f"{held_out} of them held out as a test") if ours and held_out else ours


@measures("val-per-class")
def val(experiment: Experiment) -> Ours | None:
    return _each(experiment, "val")


@measures("test-per-class")
def test(experiment: Experiment) -> Ours | None:
    return _each(experiment, "test")


@measures("images-expected")
def expected(experiment: Experiment) -> Ours | None:
    return _each(experiment, "test")


@measures("image")
def image(experiment: Experiment) -> Ours | None:
    """Of the mean, which has the size of every image."""
    try:
        _, height, width = read_mean(experiment.data / "mean.binaryproto").shape
    except UserError:
        return None
    return Ours(f"{width} x {height}")
