"""The accuracy of every combination of the models."""

from ensemble import halves, summary
from report import Missing, paper
from report.experiment import Experiment
from report.measure.ensembles import in_halves
from report.plots import ensembles


def build(experiment: Experiment) -> dict:
    found = experiment.ensembles
    if found is None:
        raise Missing("No combination of models is scored yet: make ensemble")
    spreads = found.spreads()
    deviations = [spread.deviation for spread in spreads] or [None] * len(found.table)
    single = next(one for one in found.table if len(one.models) == 1)
    return {
        "plot": ensembles.by_size(found.table, "combinations"),
        "verdict": summary.verdict(found.table),
        "rank_cut": found.rank_cut,
        "images": len(found.val[0].labels),
        "held_out": len(found.holdout[0].labels) if found.holdout else 0,
        "theirs": paper.value("ensemble-accuracy"),
        "rows": list(zip(found.table, deviations)),
        "single": single,
        "halves": _halves(experiment),
        "highest": found.table[0].val_accuracy,
    }


def _halves(experiment: Experiment) -> list[tuple[str, halves.Halves, str | None]]:
    """(choice, halves, the report's accuracy on test) for each rule of choice that these models allow."""
    rules = (
        ("the best single model", halves.SINGLE, paper.value("single-test-accuracy")),
        ("the three NIN together", halves.ALL, paper.value("ensemble-accuracy")),
        ("the best combination", halves.BEST, None),
    )
    found = [(what, in_halves(experiment, rule), theirs) for what, rule, theirs in rules]
    return [(what, one, theirs) for what, one, theirs in found if one]
