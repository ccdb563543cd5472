"""Methods of ensembling beyond the report's, and labels balanced over the classes (section 6)."""

from ensemble import balance, comparison_file, comparison_words
from ensemble.methods import METHODS, told
from report import Missing
from report.experiment import Experiment
from report.plots import ensembles


def build(experiment: Experiment) -> dict:
    path = experiment.runs / "ensemble" / "methods.json"
    if not path.is_file():
        raise Missing("No ways to ensemble are compared yet: make methods")
    found, about = comparison_file.read(path, data=experiment.data)
    return {
        "found": found,
        "about": comparison_words.about(found),
        "made": about,
        "plot": ensembles.gains(found, "gains"),
        "told": {name: told(name) for name in METHODS},
        "sentences": comparison_words.sentences(found),
        "mark": balance.MARK,
        "chance": comparison_words.chance,
        "verdict": comparison_words.verdict,
    }
