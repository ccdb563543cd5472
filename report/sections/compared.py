"""Trainings that were set side by side: the ideas of the report's last section, and whether they helped."""

from report.compared import RESULTS, read, verdict
from report.experiment import Experiment
from report.plots import compared as plots

SHOWN = 8  # rows of a table at most: common tests, evenly chosen, the last among them


def build(_: Experiment) -> dict:
    found = [read(path) for path in sorted(RESULTS.glob("compared_*.json"))]
    return {"comparisons": [_shown(one, number) for number, one in enumerate(found, 1)]}


def _shown(one, number: int) -> dict:
    epochs = one.common_epochs()
    chosen = epochs[:: -max(1, -(-len(epochs) // SHOWN))][::-1]
    first = one.runs[0]
    return {
        "title": one.title,
        "note": one.note,
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
