"""Whether one way to choose labels is better than another on the same images, or whether that is chance.

All of it is about which images are classified rightly, bool (N,) each, and paired: both ways saw the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness import intervals

RESAMPLES = 10_000
#: How often an interval holds what it is an interval of.
COVERAGE = 0.95


class Interval(NamedTuple):
    """The bounds of a bootstrap percentile interval."""

    low: float
    high: float


class McNemar(NamedTuple):
    """McNemar's test: of the images where two ways differ, how many each has right."""

    only_first: int
    only_second: int
    p: float  #: two-sided and exact: the binomial's, at one half


def _percentiles(values: np.ndarray) -> Interval:
    tail = 50 * (1 - COVERAGE)
    return Interval(*(float(bound) for bound in np.percentile(values, [tail, 100 - tail])))


def accuracy_interval(right: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The bootstrap interval of an accuracy, from images drawn anew with replacement: bool (N,).

    A resample's number of right images is binomial, so it is drawn at once and not image by image.
    """
    random = np.random.default_rng(seed)
    return _percentiles(random.binomial(len(right), right.mean(), resamples) / len(right))


def gain_interval(first: np.ndarray, second: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The bootstrap interval of accuracy(first) - accuracy(second), images drawn in pairs: bool (N,), bool (N,).

    What counts of a resample is how many images only the first has right and how many only the second: multinomial.
    """
    random = np.random.default_rng(seed)
    only_first, only_second = (first & ~second).mean(), (second & ~first).mean()
    shares = [only_first, only_second, max(0.0, 1 - only_first - only_second)]
    drawn = random.multinomial(len(first), shares, resamples)
    return _percentiles((drawn[:, 0] - drawn[:, 1]) / len(first))


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Of two ways that are equally good each would be the right one in half of the images where one alone is."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(only_first, only_second, intervals.mcnemar(only_first, only_second))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several tests made together: p (K,) -> adjusted p (K,), in the order given.

    Of tests whose adjusted p are below 0.05 the chance that any is so by luck is below 0.05.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted.tolist()
