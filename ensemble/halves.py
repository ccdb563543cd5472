"""A stand-in for the judge's test set, which is closed: val in halves, chosen on one, scored on the other.

The report chose its models and their weights on val, and the judge scored the choice on test. Here val is split in
two, as evenly in each class as possible. A choice or fit on one half is scored on the other, both ways. Each image
is therefore scored once, by a choice that has not seen it. The 95 % intervals are Wilson's. Every choice uses half
of val, so it is a little worse than one that uses all of it.
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
    """The choice of one half, and how often it is right on the other."""

    chosen: str  #: the models' names, joined by " + "
    right: int
    images: int

    @property
    def accuracy(self) -> intervals.Interval:
        return intervals.accuracy(self.right, self.images)


@dataclass(frozen=True)
class Halves:
    """A rule of choice, scored both ways."""

    name: str  #: SINGLE, ALL or BEST
    models: tuple[str, ...]  #: the models to choose from
    ways: tuple[Way, Way]

    @property
    def images(self) -> int:
        return sum(way.images for way in self.ways)

    @property
    def accuracy(self) -> intervals.Interval:
        """The accuracy over both halves together, which is all of val, each image once."""
        return intervals.accuracy(sum(way.right for way in self.ways), self.images)

    @property
    def chosen(self) -> str:
        """The choices of both halves; one choice if they agree."""
        return ", then ".join(dict.fromkeys(way.chosen for way in self.ways))


def _fit_single(scores: Sequence[np.ndarray], labels: np.ndarray) -> report_rule.Rule:
    """The most accurate model on these images, the first of equals."""
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
        name: SINGLE for the best model, ALL for all of them, BEST for the best combination.
        models: the models' names, in the order of ``val``.
        val: their score files over one set of labelled images.
        seed: the seed of the split.

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
    """A line: the accuracy with its interval, then each half's accuracy and choice."""
    value, low, high = found.accuracy
    ways = "; ".join(f"{way.accuracy.value:.4f} of {way.images} by {way.chosen}" for way in found.ways)
    return f"{what}: {value:.4f} (95 %: {low:.4f} to {high:.4f}) of {found.images} val images; {ways}"


def lines(models: Sequence[str], val: Sequence[Scores]) -> list[str]:
    """The stand-ins for the judge's numbers, a line for each that these models give; [] below two images."""
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
