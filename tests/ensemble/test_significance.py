"""Intervals and tests against hand calculations and slower ways; balanced labels against an exact assignment."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from ensemble import balance, rule
from ensemble.log_softmax import log_scores
from ensemble.significance import accuracy_interval, gain_interval, holm, mcnemar


def pair(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    ones = [(True, True)] * both + [(True, False)] * first + [(False, True)] * second + [(False, False)] * neither
    mixed = np.random.default_rng(0).permutation(np.array(ones))
    return mixed[:, 0], mixed[:, 1]


@pytest.mark.parametrize("first, second, p", [
    (8, 2, 2 * (1 + 10 + 45) / 2**10),
    (2, 8, 2 * (1 + 10 + 45) / 2**10),
    (5, 0, 2 / 2**5),
    (3, 3, 1.0),
    (0, 0, 1.0),
])  # fmt: skip
def test_mcnemar_is_the_binomial_s(first, second, p):
    found = mcnemar(*pair(31, first, second, 17))
    assert found[:2] == (first, second) and found.p == pytest.approx(p, rel=1e-12)


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == [] and holm([0.2]) == [0.2]


def test_intervals_are_those_of_images_drawn_one_by_one():
    first, second = pair(60, 40, 15, 85)
    random = np.random.default_rng(1)
    drawn = random.integers(0, 200, (20_000, 200))
    alone = np.percentile(first[drawn].mean(axis=1), [2.5, 97.5])
    gains = np.percentile(first[drawn].mean(axis=1) - second[drawn].mean(axis=1), [2.5, 97.5])
    assert accuracy_interval(first) == pytest.approx(alone, abs=0.006)
    assert gain_interval(first, second) == pytest.approx(gains, abs=0.006)
    assert gain_interval(first, first) == (0, 0)
    assert accuracy_interval(first, seed=4) == accuracy_interval(first, seed=4)


def uneven(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a model that says some classes far too often, of classes of one size; and the labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    logits = random.standard_normal((images, classes)) + np.linspace(0, 3, classes)
    logits[np.arange(images), labels] += 2
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True), labels


def test_balanced_labels_are_nearly_an_exact_assignment_s():
    scores, labels = uneven(240, 6)
    plain, found = scores.argmax(axis=1), balance.balanced(scores).argmax(axis=1)
    assert rule.class_deviation(plain, 6) > 150 and rule.class_deviation(found, 6) < 12
    places = np.repeat(np.arange(6), 40)
    logs = np.log(scores)
    images, taken = linear_sum_assignment(logs[:, places], maximize=True)
    exact = places[taken][np.argsort(images)]
    assert (exact == found).mean() > 0.96
    assert (found == labels).mean() > (plain == labels).mean() + 0.1


def test_prices_reach_the_counts_asked_for():
    scores, _ = uneven(400, 5)
    wanted = np.array([20.0, 200, 80, 60, 40])
    found = balance.prices(np.log(scores), wanted)
    counts = np.bincount((np.log(scores) + found).argmax(axis=1), minlength=5)
    assert np.abs(counts - wanted).max() <= 8 and found.mean() == pytest.approx(0)
    with pytest.raises(ValueError, match="more than no image"):
        balance.prices(np.log(scores), np.array([0, 1, 1, 1, 1]))


def test_no_strength_changes_no_label_and_more_strength_balances_more():
    scores, _ = uneven(300, 7)
    np.testing.assert_array_equal(balance.balanced(scores, 0).argmax(axis=1), scores.argmax(axis=1))
    found = [rule.class_deviation(balance.balanced(scores, at).argmax(axis=1), 7) for at in (0, 0.25, 0.5, 0.75, 1)]
    assert found == sorted(found, reverse=True)


def test_scores_of_nothing_and_classes_never_given_are_borne():
    scores, _ = uneven(60, 6)
    scores[:, 2] = 0
    scores[4] = 0
    logs = log_scores(scores)
    assert np.isfinite(logs).all() and logs[4] == pytest.approx(np.log(1 / 6))
    counts = np.bincount(balance.balanced(scores).argmax(axis=1), minlength=6)
    assert counts[2] > 0
