"""Intervals and tests, against SciPy's and against numbers from the papers that they come from."""

import numpy as np
import pytest
from scipy import stats

from harness import intervals


@pytest.mark.parametrize("right, images", [(0, 7), (7, 7), (1, 3), (17, 60), (4712, 10_000)])
def test_an_accuracy(right, images):
    low, high = stats.binomtest(right, images).proportion_ci(method="wilson")
    found = intervals.accuracy(right, images)
    assert found == pytest.approx((right / images, low, high), abs=1e-12)


@pytest.mark.parametrize("better, worse", [(0, 0), (1, 0), (0, 6), (5, 5), (17, 31), (2513, 2307)])
def test_mcnemar(better, worse):
    exact = stats.binomtest(better, better + worse).pvalue if better + worse else 1
    assert intervals.mcnemar(better, worse) == pytest.approx(exact, rel=1e-9)


def test_a_paired_gain():
    first = np.array([True] * 12 + [False] * 3 + [True] * 4 + [False] * 6)
    second = np.array([True] * 12 + [True] * 3 + [False] * 4 + [False] * 6)
    found = intervals.paired(first, second)
    assert (found.better, found.worse, found.gain.value) == (4, 3, 1 / 25)
    assert found.gain.low < 0 < found.gain.high
    # Bonett and Price: (b + 1) / (n + 2) and (c + 1) / (n + 2) in Wald's place.
    centre, spread = 1 / 27, np.sqrt((5 / 27 + 4 / 27 - (1 / 27) ** 2) / 27)
    assert found.gain[1:] == pytest.approx((centre - 1.959964 * spread, centre + 1.959964 * spread), abs=1e-6)
    assert intervals.paired(first, first).gain.value == 0 and intervals.paired(first, first).p == 1


def test_a_paired_interval_holds_the_truth_as_often_as_it_says():
    random, held, rounds = np.random.default_rng(8), 0, 2000
    for _ in range(rounds):
        kind = random.choice(4, 150, p=(0.5, 0.3, 0.12, 0.08))
        gain = intervals.paired((kind == 0) | (kind == 2), (kind == 0) | (kind == 3)).gain
        held += gain.low <= 0.04 <= gain.high
    assert 0.94 < held / rounds < 0.97


def test_a_difference_of_accuracies_on_different_images():
    # Newcombe 1998, table II, method 10: 56/70 and 48/80 give 0.2 with 0.0524 to 0.3339.
    found = intervals.difference(intervals.accuracy(56, 70), intervals.accuracy(48, 80))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_means():
    random = np.random.default_rng(2)
    first, second = random.normal(3, 2, 400), random.normal(2.5, 1, 300)
    one = stats.norm.interval(0.95, first.mean(), stats.sem(first))
    assert intervals.mean(first) == pytest.approx((first.mean(), *one))
    both = stats.norm.interval(0.95, first.mean() - second.mean(), np.hypot(stats.sem(first), stats.sem(second)))
    moments = (intervals.Moments(of.mean(), of.std(ddof=1), len(of)) for of in (first, second))
    assert intervals.mean_difference(*moments) == pytest.approx((first.mean() - second.mean(), *both))


@pytest.mark.parametrize(
    "candidates, expected", [(1, 0), (2, 1 / np.sqrt(np.pi)), (3, 1.5 / np.sqrt(np.pi)), (5, 1.16296)]
)
def test_the_best_of_equals_is_too_good(candidates, expected):
    assert intervals.best_of(candidates) == pytest.approx(expected, abs=2e-5)
