"""Trainings that were set side by side: the ideas of the report's last section, and whether they helped."""

from report import results_files
from report.compared import read, verdict
from report.experiment import Experiment
from report.plots import compared as plots

SHOWN = 8  # most rows of a table: common tests, evenly chosen, the last included


def build(experiment: Experiment) -> dict:
    paths = results_files.paths("compared", experiment.runs)
    found = [(read(path), results_files.whence(path)) for path in paths]
    return {"comparisons": [_shown(one, whence, number) for number, (one, whence) in enumerate(found, 1)]}


def _shown(one, whence: str, number: int) -> dict:
    epochs = one.common_epochs()
    chosen = epochs[:: -max(1, -(-len(epochs) // SHOWN))][::-1]
    first = one.runs[0]
    return {
        "title": one.title,
        "note": one.note,
        "whence": whence,
        "said": verdict(one),
        "accuracy": plots.accuracy(one, f"compared-accuracy-{number}"),
        "loss": plots.loss(one, f"compared-loss-{number}"),
        "runs": one.runs,
        "rows": [
            (at, [dict(run.accuracy)[at] for run in one.runs], [one.difference(run, first, at) for run in one.runs[1:]])
            for at in chosen
        ],
        "images": one.val_images,
        "train_images": one.train_images,
    }
