"""The judge's file: how often it names each class, and whether an even spread goes with accuracy (section 6)."""

from collections import Counter
from pathlib import Path

import numpy as np

from ensemble.scoring.score_data import OtherData
from ensemble.scoring.score_file import load, score_path
from ensemble.submission import read_best
from harness.errors import UserError
from report import Missing
from report.combinations import correlation
from report.experiment import Experiment
from report.plots import classes, ensembles

EXTREMES = 6


def build(experiment: Experiment) -> dict:
    path = experiment.runs / "ensemble" / "submission.txt"
    if not path.is_file():
        raise Missing("No submission is written yet: make submission")
    _check_current(experiment, path)
    wnids = [wnid for wnid, _ in experiment.classes]
    named = Counter(line.split()[-1] for line in path.read_text(errors="replace").splitlines() if line.split())
    if strangers := named.keys() - set(wnids):
        raise Missing(f"{path}: names {min(strangers)[:20]!r}, which is no class of {experiment.data}; make submission")
    counts = np.array([named[wnid] for wnid in wnids])
    expected = counts.sum() / len(wnids)
    order = np.argsort(-counts, kind="stable").tolist()
    spreads = experiment.ensembles.spreads() if experiment.ensembles else []
    split = "held-out images" if experiment.ensembles and experiment.ensembles.holdout else "val"
    return {
        "counts": classes.counts(counts, expected, "counts"),
        "images": int(counts.sum()),
        "expected": float(expected),
        "deviation": float(np.abs(counts - expected).sum()),
        "most": [(experiment.class_name(at), int(counts[at])) for at in order[:EXTREMES]],
        "least": [(experiment.class_name(at), int(counts[at])) for at in order[::-1][:EXTREMES]],
        "spread": ensembles.deviation(spreads, split, "deviation") if spreads else None,
        "combinations": len(spreads),
        "split": split,
        "r": correlation(spreads),
    }


def _check_current(experiment: Experiment, path: Path) -> None:
    """Raise Missing if the judge's file was made from scores that are outdated or were made again since."""
    runs, data = experiment.runs, experiment.data
    try:
        models = read_best(runs, data=data)["models"]
        for model in models:
            load(runs, model, "test", data=data)
        scores = [score_path(runs, model, "test").stat().st_mtime_ns for model in models]
    except OtherData as error:
        raise Missing(
            f"{path}: left out, for so are the scores that it is of: {error}; then make submission"
        ) from error
    except UserError:  # the ensembles' section reports it
        return
    if max(scores) > path.stat().st_mtime_ns:
        raise Missing(f"{path}: left out, the scores were made again since; make submission")
