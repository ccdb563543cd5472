"""The classes that are recognised and those that are confused."""

import numpy as np

from harness.errors import UserError
from report import chance
from report.class_order import order
from report.experiment import Experiment
from report.pictures import data_uris
from report.plots import classes
from report.predictions import Pair, Predictions

PAIRS = 12
IMAGES_A_SIDE = 3
EXTREMES = 8


def build(experiment: Experiment) -> dict:
    found = experiment.predictions
    wnids = [wnid for wnid, _ in experiment.classes]
    labels, groups = order(found.confusion, wnids, "drawings" if experiment.drawn else None)
    ranked = _ranked(found)
    pairs = found.pairs(PAIRS)
    missing, uris = None, {}
    try:
        uris = data_uris(experiment.data, found.split, [name for pair in pairs for name in _names(found, pair)])
    except UserError as error:
        missing = str(error)
    return {
        "title": found.title,
        "drawn": experiment.drawn,
        "images": len(found.labels),
        "right": int(found.right.sum()),
        "accuracies": classes.accuracies(found.accuracy, "classes"),
        "confusion": classes.confusion(found.confusion[np.ix_(labels, labels)], groups, "confusion"),
        "best": [_row(experiment, found, label) for label in ranked[:EXTREMES]],
        "worst": [_row(experiment, found, label) for label in ranked[::-1][:EXTREMES]],
        "all": [_row(experiment, found, label) for label in ranked],
        "pairs": [_pair(experiment, found, pair, uris) for pair in pairs],
        "missing": missing,
    }


def _ranked(found: Predictions) -> list[int]:
    """The classes that have images, the best first; among equals, those with more images taken for one class come last."""
    other = [(found.taken_for(label) or (0, 0))[1] for label in range(len(found.accuracy))]
    labels = np.flatnonzero(~np.isnan(found.accuracy)).tolist()
    return sorted(labels, key=lambda label: (-found.accuracy[label], other[label]))


def _row(experiment: Experiment, found: Predictions, label: int) -> dict:
    other = found.taken_for(label)
    interval = chance.interval(float(found.accuracy[label]), int(found.images[label]))
    return {
        "low": interval.low,
        "high": interval.high,
        "name": experiment.class_name(label),
        "words": experiment.classes[label],
        "accuracy": float(found.accuracy[label]),
        "images": int(found.images[label]),
        "other": experiment.class_name(other[0]) if other else None,
        "other_images": other[1] if other else 0,
    }


def _sides(found: Predictions, pair: Pair) -> list[tuple[int, int, int, np.ndarray]]:
    """(true class, guess, count, some images), the larger count first; a count of 0 shows correct images."""
    sides = [(pair.first, pair.second, pair.forth), (pair.second, pair.first, pair.back)]
    return [
        (label, guess, count, found.mistaken(label, guess if count else label, IMAGES_A_SIDE))
        for label, guess, count in sorted(sides, key=lambda side: -side[2])
    ]


def _names(found: Predictions, pair: Pair) -> list[str]:
    return [str(name) for *_, images in _sides(found, pair) for name in found.names[images]]


def _pair(experiment: Experiment, found: Predictions, pair: Pair, uris: dict[str, str]) -> list[dict]:
    return [
        {
            "true": experiment.class_name(label),
            "guess": experiment.class_name(guess) if count else None,
            "count": count,
            "images": int(found.images[label]),
            "shown": [(str(name), uris[str(name)]) for name in found.names[images] if str(name) in uris],
        }
        for label, guess, count, images in _sides(found, pair)
    ]
