"""The gap between val and test: each explanation, and whether our numbers support it."""

from ensemble import gap_reasons
from ensemble.files import BadInput
from report import Missing, results_files
from report.experiment import Experiment
from report.plots import gap as plots

VIEWS = ("center", "whole")


def build(experiment: Experiment) -> dict:
    files = results_files.read("gap", "splits", "draws")
    if not files:
        raise Missing("No snapshot is compared on train, val and held-out images yet: make gap-nin1")
    try:
        models = []
        for one in files:
            reasons = gap_reasons.reasons(one)
            models.append({**one, "reasons": reasons, "conclusion": gap_reasons.conclusion(reasons)})
        return {"models": models, "plot": plots.accuracies(files[0], "gap"), "points": gap_reasons.points}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInput(f"results/gap_*.json: not what `make gap-nin1` writes ({error!r})") from error
