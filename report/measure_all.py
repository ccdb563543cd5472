"""Every number of the report that this experiment gives, by the measures in report/measure/."""

from report import paper
from report.experiment import Experiment
from report.measure import data, ensembles, first_pass, settings, training  # noqa: F401  they register themselves
from report.measure.registry import MEASURES, MeasuredNumber


def measure_all(experiment: Experiment) -> dict[str, MeasuredNumber]:
    """The numbers by name, in the report's order."""
    found = {number.name: MEASURES[number.name](experiment) for number in paper.numbers() if number.name in MEASURES}
    return {name: number for name, number in found.items() if number is not None}
