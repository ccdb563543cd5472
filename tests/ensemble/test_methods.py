"""The methods of ensembling, each against an independent calculation, and the cross-fitting that keeps them honest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ensemble import crossfit, rule
from ensemble.crossfit import cross_fitted, folds
from ensemble.methods import METHODS, confusion, dawid_skene, greedy, report_rule, stacking, temperature, told
from harness.errors import UserError


def shares(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def made(images: int, classes: int, signals, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores of models that are right more often with a greater signal, and the labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    models = []
    for signal in signals:
        logits = random.standard_normal((images, classes))
        logits[np.arange(images), labels] += signal
        models.append(shares(logits))
    return models, labels


@pytest.mark.parametrize("name", METHODS)
def test_a_method_leaves_its_input_alone_and_gives_the_same_twice(name):
    scores, labels = made(60, 7, (1.5, 0.5, 1.0))
    fresh, _ = made(23, 7, (1.5, 0.5, 1.0), seed=1)
    before = [one.copy() for one in (*scores, *fresh)]
    first = METHODS[name].fit(scores, labels)
    merged = first(fresh)
    assert merged.shape == (23, 7) and np.isfinite(merged).all() and (merged >= 0).all()
    again = METHODS[name].fit(scores, labels)
    assert str(again) == str(first) != "" and told(name)
    np.testing.assert_array_equal(again(fresh), merged)
    for one, old in zip((*scores, *fresh), before):
        np.testing.assert_array_equal(one, old)


@pytest.mark.parametrize("name", METHODS)
def test_classes_without_an_image_and_shares_of_nothing_are_borne(name):
    scores, labels = made(40, 9, (1.5, 0.5))
    labels[labels == 3] = 4  # no image of class 3, one of class 5
    labels[np.flatnonzero(labels == 5)[1:]] = 6
    scores[0][:, 2] = 0
    scores[1][7] = np.eye(9)[1]
    merged = METHODS[name].fit(scores, labels)(scores)
    assert np.isfinite(merged).all() and rule.accuracy(merged, labels) > 0.2


@pytest.mark.parametrize("name", METHODS)
def test_models_that_know_the_classes_give_them(name):
    scores, labels = made(400, 5, (4.0, 3.0))
    fresh, truth = made(100, 5, (4.0, 3.0), seed=1)
    assert rule.accuracy(METHODS[name].fit(scores, labels)(fresh), truth) > 0.9


def test_the_report_s_rule_is_the_best_of_all_combinations():
    scores, labels = made(150, 203, (2.5, 1.5, 2.2, 0.3))
    weights = [rule.accuracy(one, labels) for one in scores]
    best = max(
        rule.every_combination(4),
        key=lambda chosen: rule.accuracy(
            rule.combine([scores[at] for at in chosen], [weights[at] for at in chosen], rule.RANK_CUT), labels
        ),
    )
    found = report_rule.fit(scores, labels)
    assert found.chosen == best and found.weights == tuple(weights[at] for at in best)
    expected = rule.combine([scores[at] for at in best], found.weights, rule.RANK_CUT)
    np.testing.assert_array_equal(found(scores), expected)


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(true):
    random = np.random.default_rng(3)
    logits = 2 * random.standard_normal((20_000, 6))
    labels = (shares(logits).cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1).clip(0, 5)
    given = np.log(shares(logits * true))  # the logits times `true`; at 1 the confidence equals the accuracy
    assert temperature.temperature(given, labels) == pytest.approx(true, rel=0.04)


def test_temperatures_end_where_the_search_does():
    right = np.log(np.full((4, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 0]])
    assert temperature.temperature(right, np.array([0, 1, 2, 0])) == temperature.COLDEST
    assert temperature.temperature(right, np.array([1, 2, 0, 1])) == temperature.HOTTEST


def test_greedy_selection_is_that_of_a_slow_one():
    scores, labels = made(50, 4, (0.9, 0.8, 0.3, 0.7), seed=5)

    def badness(times: list[int]) -> tuple[float, float]:
        wrong, loss = 0, 0.0
        for image, label in enumerate(labels):
            total = [sum(n * float(one[image, at]) for n, one in zip(times, scores)) for at in range(4)]
            wrong += any(total[at] >= total[label] for at in range(4) if at != label)
            loss -= math.log(total[label] / sum(total))
        return wrong / 50, loss / 50

    times, along = [0] * 4, []
    for _ in range(7):
        tried = [[n + (at == added) for at, n in enumerate(times)] for added in range(4)]
        times = min(tried, key=badness)
        along.append((badness(times), times))
    best = min(along, key=lambda step: step[0])[1]
    assert greedy.fit(scores, labels, rounds=7).times == tuple(best)
    assert max(best) > 1 or sum(best) < 7, "the case has something to choose"


def habits(random, images: int, truth: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Hard votes of an annotator whose confusion is `matrix`."""
    said = np.array([random.choice(len(matrix), p=matrix[label]) for label in truth])
    return np.eye(len(matrix), dtype=np.float32)[said]


def known_annotators(random, classes: int = 4) -> list[np.ndarray]:
    matrices = []
    for right in (0.7, 0.6, 0.75):
        matrix = random.dirichlet(np.full(classes, 0.5), classes) * (1 - right)
        matrices.append(matrix + right * np.eye(classes))
    return matrices


def test_em_finds_the_confusions_of_known_annotators():
    random = np.random.default_rng(8)
    matrices = known_annotators(random)
    labels, truth = random.integers(0, 4, 40), random.integers(0, 4, 3000)
    few = [habits(random, 40, labels, one) for one in matrices]
    many = [habits(random, 3000, truth, one) for one in matrices]
    start = dawid_skene.fit(few, labels)
    merged, found = start.estimate(many)
    off = max(np.abs(one - matrix).max() for one, matrix in zip(found, matrices))
    before = max(np.abs(one.confusion() - matrix).max() for one, matrix in zip(start.start.annotators, matrices))
    assert off < 0.06 < 2 * off < before, "3,000 images without labels say more than 40 with one"
    # Bayes' rule by the true confusions is the best there is.
    best = sum(vote @ np.log(matrix).T for vote, matrix in zip(many, matrices))
    assert rule.accuracy(merged, truth) > rule.accuracy(best, truth) - 0.01


def test_confusions_undo_a_model_that_takes_one_class_for_another():
    random = np.random.default_rng(9)
    swaps = np.array([[0.1, 0.9, 0], [0.9, 0.1, 0], [0, 0, 1.0]])
    noisy = 0.4 * np.eye(3) + 0.2
    labels, truth = random.integers(0, 3, 300), random.integers(0, 3, 300)
    found = confusion.fit([habits(random, 300, labels, swaps), habits(random, 300, labels, noisy)], labels)
    fresh = [habits(random, 300, truth, swaps), habits(random, 300, truth, noisy)]
    assert rule.accuracy(np.mean(fresh, axis=0), truth) < 0.6
    assert rule.accuracy(found(fresh), truth) > 0.88


def test_what_the_others_say_is_counted_without_the_image_itself():
    scores, labels = made(30, 5, (1.0,))
    votes = confusion.sharpened(scores[0], 2)
    np.testing.assert_allclose(votes, scores[0] ** 2 / (scores[0] ** 2).sum(axis=1, keepdims=True), rtol=1e-5)
    model = confusion.annotator(votes, labels)
    for image in range(30):
        counts, images = 10.0 * model.usual[labels[image]], 10.0
        for other in range(30):
            if other != image and labels[other] == labels[image]:
                counts, images = counts + votes[other], images + 1
        expected = float((votes[image] * np.log(counts / images)).sum())
        assert model.left_out(votes, labels, 10.0)[image] == pytest.approx(expected, rel=1e-4)


def test_stacking_passes_over_a_model_that_is_sure_and_knows_nothing():
    scores, labels = made(600, 30, (2.5, 0.0))
    fresh, truth = made(600, 30, (2.5, 0.0), seed=1)
    scores[1], fresh[1] = (shares(6 * np.log(one)) for one in (scores[1], fresh[1]))
    found = stacking.fit(scores, labels)
    alone, merged = rule.accuracy(fresh[0], truth), rule.accuracy(found(fresh), truth)
    assert rule.accuracy(np.mean(fresh, axis=0), truth) < alone - 0.1
    assert merged > alone - 0.01


def test_stacking_where_no_label_is_a_candidate():
    scores, labels = made(12, 30, (-20.0, -20.0))
    assert stacking.fit(scores, labels) == stacking.Stacked((1.0, 1.0), (0.0, 0.0))


class Memory:
    """Knows by heart the label of every image it has seen."""

    def __init__(self, scores, labels):
        self.known = {row.tobytes(): label for row, label in zip(scores[0], labels)}
        self.classes = scores[0].shape[1]

    def __call__(self, scores):
        return np.eye(self.classes)[[self.known.get(row.tobytes(), 0) for row in scores[0]]]


def test_a_method_that_learns_labels_by_heart_scores_as_by_chance():
    scores, labels = made(1000, 5, (3.0,))
    assert rule.accuracy(Memory(scores, labels)(scores), labels) == 1
    found = cross_fitted(Memory, scores, labels, folds(labels))
    assert rule.accuracy(found, labels) == (labels == 0).mean() < 0.25


def test_each_fold_is_scored_by_all_the_others():
    scores, labels = made(11, 3, (1.0, 1.0))
    seen = []

    def fit(given, known):
        seen.append(len(known))
        assert all(len(one) == len(known) for one in given)
        return lambda fresh: np.full(fresh[0].shape, len(seen))

    fold = folds(labels, 4, seed=2)
    found = cross_fitted(fit, scores, labels, fold)
    assert sorted(seen) == [8, 8, 8, 9]
    np.testing.assert_array_equal(found[:, 0], fold + 1)


def test_folds_hold_as_many_of_each_class():
    labels = np.repeat(np.arange(6), (50, 20, 7, 3, 1, 24))
    fold = folds(labels, 5, seed=1)
    sizes = [np.bincount(labels[fold == one], minlength=6) for one in range(5)]
    assert np.ptp(sizes, axis=0).max() <= 1 and np.ptp(np.sum(sizes, axis=1)) <= 1
    np.testing.assert_array_equal(fold, folds(labels, 5, seed=1))
    assert (fold != folds(labels, 5, seed=2)).any()
    with pytest.raises(UserError, match="too few for 5 folds"):
        folds(labels[:4], 5)
    with pytest.raises(UserError, match="at least 2"):
        crossfit.folds(labels, 1)
