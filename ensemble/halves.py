"""What stands in for the judge's test set, which is closed: val in two halves, chosen on one and scored on the other.

The report chose its models and their weights on val, and the judge scored the choice on test. Here val is split in two,
as evenly in each class as can be. Whatever is chosen or fitted on one half is scored on the other, both ways, so that
each image is scored once by a choice that has not seen it. The 95 % intervals are Wilson's. Every choice is made on
half of val, so it is a little worse than one made on all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import rule
from ensemble.crossfit import Combine, Fit, folds
from ensemble.methods import report_rule
from ensemble.scoring.score_file import Scores
from harness import intervals

SINGLE, ALL, BEST = "single", "all", "best"
SEED = 0


@dataclass(frozen=True)
class Way:
    """What one half chose, and how often that is right on the other."""

    chosen: str  #: the models' names, joined by " + "
    right: int
    images: int

    @property
    def accuracy(self) -> intervals.Interval:
        return intervals.accuracy(self.right, self.images)


@dataclass(frozen=True)
class Halves:
    """A rule of choice, both ways."""

    name: str  #: SINGLE, ALL or BEST
    models: tuple[str, ...]  #: that were chosen among
    ways: tuple[Way, Way]

    @property
    def images(self) -> int:
        return sum(way.images for way in self.ways)

    @property
    def accuracy(self) -> intervals.Interval:
        """Over both halves together: all of val, each image once."""
        return intervals.accuracy(sum(way.right for way in self.ways), self.images)

    @property
    def chosen(self) -> str:
        """What both halves chose, once where they agree."""
        return ", then ".join(dict.fromkeys(way.chosen for way in self.ways))


def _fit_single(scores: Sequence[np.ndarray], labels: np.ndarray) -> report_rule.Rule:
    """The model that is best on these images, the first of equals."""
    best = int(np.argmax([rule.accuracy(one, labels) for one in scores]))
    return report_rule.Rule((best,), (1.0,))


def _fit_all(scores: Sequence[np.ndarray], labels: np.ndarray) -> report_rule.Rule:
    """All of the models, weighted by their accuracy on these images."""
    weights = rule.weights([rule.accuracy(one, labels) for one in scores])
    return report_rule.Rule(tuple(range(len(scores))), tuple(weights.tolist()))


_FITS: dict[str, Fit] = {SINGLE: _fit_single, ALL: _fit_all, BEST: report_rule.fit}


def halves(name: str, models: Sequence[str], val: Sequence[Scores], seed: int = SEED) -> Halves:
    """Score a rule of choice among models over val.

    Args:
        name: SINGLE, the best model; ALL, all of them by the report's rule; BEST, the best combination by that rule.
        models: their names, in the order of ``val``.
        val: their score files over one set of labelled images.
        seed: of the split.

    Raises:
        UserError: there are fewer than two images.
    """
    labels, scores = val[0].labels, [file.scores for file in val]
    half = folds(labels, 2, seed)
    ways = []
    for held in (0, 1):
        here = half == held
        combine: Combine = _FITS[name]([one[~here] for one in scores], labels[~here])
        right = int(rule.hits(combine([one[here] for one in scores]), labels[here]).sum())
        ways.append(Way(" + ".join(models[at] for at in combine.chosen), right, int(here.sum())))
    return Halves(name, tuple(models), (ways[0], ways[1]))


def told(found: Halves, what: str) -> str:
    """A line: the accuracy with its interval, and that of each half with what was chosen for it."""
    value, low, high = found.accuracy
    ways = "; ".join(f"{way.accuracy.value:.4f} of {way.images} by {way.chosen}" for way in found.ways)
    return f"{what}: {value:.4f} (95 %: {low:.4f} to {high:.4f}) of {found.images} val images; {ways}"


def lines(models: Sequence[str], val: Sequence[Scores]) -> list[str]:
    """What stands in for the judge's numbers, a line for each that these models give; [] for fewer than two images."""
    if len(val[0].labels) < 2:
        return []
    found = [told(halves(SINGLE, models, val), "best single model")]
    nins = [at for at, model in enumerate(models) if model.startswith("nin") and model[3:].isdigit()]
    if len(nins) == 3:
        chosen = ([models[at] for at in nins], [val[at] for at in nins])
        found.append(told(halves(ALL, *chosen), "the three NIN together"))
    if len(models) > 1:
        found.append(told(halves(BEST, models, val), "best combination"))
    return found
