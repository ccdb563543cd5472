"""Images that were classified correctly, wrongly and narrowly, with their scores."""

from report.experiment import Experiment
from report.pictures import data_uris

EACH = 8


def build(experiment: Experiment) -> dict:
    found = experiment.predictions
    groups = [
        ("Right and sure", "the surest of the right guesses, a class once", found.surest(True, EACH)),
        ("Wrong and sure", "the surest of the wrong guesses, a class once", found.surest(False, EACH)),
        ("Undecided", "the true class and another have almost the same score", found.closest(EACH)),
    ]
    names = [str(found.names[at]) for *_, chosen in groups for at in chosen]
    uris = data_uris(experiment.data, found.split, names)
    return {
        "title": found.title,
        "drawn": experiment.drawn,
        "groups": [
            (
                heading,
                text,
                [_card(experiment, at, uris[name]) for at in chosen if (name := str(found.names[at])) in uris],
            )
            for heading, text, chosen in groups
        ],
    }


def _card(experiment: Experiment, at: int, uri: str) -> dict:
    found = experiment.predictions
    label = int(found.labels[at])
    return {
        "uri": uri,
        "file": str(found.names[at]),
        "true": experiment.class_name(label),
        "right": bool(found.right[at]),
        "guess": experiment.class_name(int(found.guesses[at])),
        "top": [(experiment.class_name(one), share, one == label) for one, share in found.top(at)],
    }
