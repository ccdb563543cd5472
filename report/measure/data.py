"""Numbers of the data set, from the build.json of `make lmdb`."""

from ensemble import rule
from ensemble.scoring.records import read_mean
from harness.errors import UserError
from report import Missing
from report.experiment import Experiment
from report.measure.registry import MeasuredNumber, measures


def _each(experiment: Experiment, *splits: str) -> MeasuredNumber | None:
    """The images per class of some splits together."""
    if experiment.build is None:
        return None
    images = sum(experiment.build["records"].get(split, 0) for split in splits)
    return MeasuredNumber(f"{images / rule.CLASSES:g}") if images else None


@measures("classes")
def classes(experiment: Experiment) -> MeasuredNumber | None:
    try:
        return MeasuredNumber(str(len(experiment.classes)))
    except Missing:
        return None


@measures("train-per-class")
def train(experiment: Experiment) -> MeasuredNumber | None:
    ours = _each(experiment, "train", "holdout")
    held_out = (experiment.build or {}).get("records", {}).get("holdout", 0) // rule.CLASSES
    return MeasuredNumber(ours.value, f"{held_out} of them held out as a test") if ours and held_out else ours


@measures("val-per-class")
def val(experiment: Experiment) -> MeasuredNumber | None:
    return _each(experiment, "val")


@measures("test-per-class")
def test(experiment: Experiment) -> MeasuredNumber | None:
    return _each(experiment, "test")


@measures("images-expected")
def expected(experiment: Experiment) -> MeasuredNumber | None:
    return _each(experiment, "test")


@measures("image")
def image(experiment: Experiment) -> MeasuredNumber | None:
    """The size of the mean, which is the size of every image."""
    try:
        _, height, width = read_mean(experiment.data / "mean.binaryproto").shape
    except UserError:
        return None
    return MeasuredNumber(f"{width} x {height}")
