"""How sure an accuracy and a difference of two is, in images counted right and wrong; NumPy and `math` alone.

All intervals are of 95 %. A difference on the same images is judged by the images on which the two disagree,
one between different images by both accuracies' own intervals.
"""

from __future__ import annotations

from math import erf, sqrt
from typing import NamedTuple

import numpy as np

Z = 1.959963984540054  #: standard deviations of the normal that leave 2.5 % on each side


class Interval(NamedTuple):
    """A number and the 95 % interval about it."""

    value: float
    low: float
    high: float


class Moments(NamedTuple):
    """The mean and spread of numbers, one an image."""

    mean: float
    deviation: float  #: standard deviation, of a sample
    count: int


class Paired(NamedTuple):
    """Two classifiers on the same images: how much better the first is."""

    gain: Interval  #: its accuracy less the other's
    better: int  #: images that it alone has right
    worse: int  #: images that the other alone has right
    p: float  #: two-sided, by McNemar's exact test


def accuracy(right: int, images: int) -> Interval:
    """The share of right ones with Wilson's score interval (1927); `images` is 1 or more."""
    share, z = right / images, Z * Z / images
    middle = (share + z / 2) / (1 + z)
    half = sqrt(share * (1 - share) * z + z * z / 4) / (1 + z)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """From two arrays (N,) of hits, true or false, of the same images.

    The interval is Bonett and Price's (2012): Wald's with one image added to each kind of disagreement, which
    keeps its 95 % where disagreements are few.
    """
    better = int(np.count_nonzero(first & ~second))
    worse = int(np.count_nonzero(second & ~first))
    images = len(first)
    a, b = (better + 1) / (images + 2), (worse + 1) / (images + 2)
    half = Z * sqrt((a + b - (a - b) ** 2) / (images + 2))
    gain = Interval((better - worse) / images, max(-1.0, a - b - half), min(1.0, a - b + half))
    return Paired(gain, better, worse, mcnemar(better, worse))


def mcnemar(better: int, worse: int) -> float:
    """McNemar's exact test: how likely two equal classifiers part so unevenly or more, of those they disagree on."""
    count, fewer = better + worse, min(better, worse)
    term = total = 1  # binomial coefficients as whole numbers: nothing rounds or overflows
    for k in range(1, fewer + 1):
        term = term * (count - k + 1) // k
        total += term
    return min(1.0, 2 * total / 2**count)


def difference(first: Interval, second: Interval) -> Interval:
    """The difference of two accuracies on different images, by Newcombe (1998) from their Wilson intervals."""
    value = first.value - second.value
    low = value - sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    high = value + sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Interval(value, low, high)


def mean(values: np.ndarray) -> Interval:
    """The mean of (N,) numbers, one an image, by the normal approximation; N is 2 or more."""
    value, half = float(values.mean()), Z * float(values.std(ddof=1)) / sqrt(len(values))
    return Interval(value, value - half, value + half)


def mean_difference(first: Moments, second: Moments) -> Interval:
    """The mean of some numbers less that of others, of different images."""
    value = first.mean - second.mean
    half = Z * sqrt(sum(one.deviation**2 / one.count for one in (first, second)))
    return Interval(value, value - half, value + half)


def best_of(candidates: int) -> float:
    """By how many standard errors the best of so many equal, independent candidates is too good, on average.

    The expectation of the largest of `candidates` standard normals: the integral of x dF(x)^candidates.
    """
    x = np.linspace(-10, 10, 20_001)
    below = np.array([(1 + erf(each / sqrt(2))) / 2 for each in x]) ** candidates
    steps = np.diff(below)
    return float(np.sum((x[1:] + x[:-1]) / 2 * steps))
