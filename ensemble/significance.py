"""Tests and intervals for one way to choose labels against another on the same images: a real gain or chance.

All of them take which images are classified correctly, bool (N,) each. They are paired: both ways saw the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness import intervals

RESAMPLES = 10_000
#: The share of intervals that contain the true value.
COVERAGE = 0.95


class Interval(NamedTuple):
    """The bounds of a bootstrap percentile interval."""

    low: float
    high: float


class McNemar(NamedTuple):
    """McNemar's test: on the images where two ways differ, how many each classifies correctly."""

    only_first: int
    only_second: int
    p: float  #: two-sided and exact, of the binomial distribution at one half


def _percentiles(values: np.ndarray) -> Interval:
    tail = 50 * (1 - COVERAGE)
    return Interval(*(float(bound) for bound in np.percentile(values, [tail, 100 - tail])))


def accuracy_interval(right: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The bootstrap interval of an accuracy, from images drawn anew with replacement: bool (N,).

    A resample's number of correct images is binomial, so one draw gives it instead of a draw per image.
    """
    random = np.random.default_rng(seed)
    return _percentiles(random.binomial(len(right), right.mean(), resamples) / len(right))


def gain_interval(first: np.ndarray, second: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The bootstrap interval of accuracy(first) - accuracy(second), images drawn in pairs: bool (N,), bool (N,).

    A resample only needs how many images the first alone classifies correctly, and how many the second alone. These
    counts are multinomial.
    """
    random = np.random.default_rng(seed)
    only_first, only_second = (first & ~second).mean(), (second & ~first).mean()
    shares = [only_first, only_second, max(0.0, 1 - only_first - only_second)]
    drawn = random.multinomial(len(first), shares, resamples)
    return _percentiles((drawn[:, 0] - drawn[:, 1]) / len(first))


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's exact test. Equally good ways would each be right on half of the images where only one is."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(only_first, only_second, intervals.mcnemar(only_first, only_second))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several tests made together: p (K,) -> adjusted p (K,), in the order given.

    If every adjusted p below 0.05 counts, the probability of even one false positive is below 0.05.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted.tolist()
