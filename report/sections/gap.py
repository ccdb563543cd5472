"""The gap between val and test: each explanation, and whether our numbers support it."""

from ensemble.scoring import gap_reasons
from harness.errors import UserError
from report import Missing, results_files
from report.experiment import Experiment
from report.plots import gap as plots


def build(experiment: Experiment) -> dict:
    files = experiment.current("gap", results_files.read("gap", experiment.runs, "splits", "draws", "seed", "seconds"))
    if not files:
        raise Missing("No snapshot is compared on train, val and held-out images yet: make gap-nin1")
    try:
        models = []
        for number, one in enumerate(files):
            for name, split in one["splits"].items():
                if "center" not in split and name != "test":
                    raise KeyError(f"center of {name}")
            reasons = gap_reasons.reasons(one)
            plot = plots.accuracies(one, f"gap-{number}")
            models.append({**one, "reasons": reasons, "conclusion": gap_reasons.conclusion(reasons), "plot": plot})
        return {"models": models}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"gap_*.json: not what `make gap-nin1` writes ({error!r})") from error
