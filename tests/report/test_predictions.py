"""Confusions, pairs and examples of a small set of scores, counted by hand."""

import numpy as np
import pytest

from report.class_order import order, wordnet_groups
from report.predictions import Pair, predictions

CLASSES = 200


def scores(*rows: dict[int, float]) -> np.ndarray:
    """Rows of 200 scores, 0 where nothing is said."""
    made = np.zeros((len(rows), CLASSES))
    for at, row in enumerate(rows):
        for label, value in row.items():
            made[at, label] = value
    return made


# Image 0 to 6: its true class, its scores. 3 and 7 are taken for each other, 3 for 7 more often.
LABELS = np.array([3, 3, 3, 7, 7, 9, 9])
SCORES = scores(
    {3: 6, 7: 2},  # right
    {3: 1, 7: 3},  # wrong, 0.75 sure
    {3: 1, 7: 9},  # wrong, 0.9 sure
    {7: 5.1, 3: 4.9},  # right, close
    {3: 4, 7: 1},  # wrong, 0.8 sure
    {9: 2, 3: 2},  # a tie: wrong, as Caffe counts
    {},  # all zero
)


@pytest.fixture
def found():
    names = np.array([f"val/images/val_{at}.JPEG" for at in range(len(LABELS))])
    return predictions("a model", "val", SCORES, LABELS, names)


def test_confusion_and_accuracies(found):
    assert found.right.tolist() == [True, False, False, True, False, False, False]
    counts = {(int(a), int(b)): int(found.confusion[a, b]) for a, b in np.argwhere(found.confusion)}
    # The tie goes to the lowest label, as in the submission; so does a row without any score.
    assert counts == {(3, 3): 1, (3, 7): 2, (7, 7): 1, (7, 3): 1, (9, 3): 1, (9, 0): 1}
    assert found.accuracy[[3, 7, 9]].tolist() == [pytest.approx(1 / 3), 0.5, 0]
    assert np.isnan(found.accuracy[4]) and found.images.sum() == 7
    assert found.taken_for(3) == (7, 2) and found.taken_for(4) is None


def test_pairs_count_both_ways(found):
    assert found.pairs(1) == [Pair(3, 7, 2, 1)]
    assert found.pairs(9) == [Pair(3, 7, 2, 1), Pair(0, 9, 0, 1), Pair(3, 9, 0, 1)]
    assert found.mistaken(3, 7, 5).tolist() == [2, 1], "the surest first"
    assert found.mistaken(3, 7, 1).tolist() == [2]


def test_examples(found):
    assert found.surest(True, 5).tolist() == [0, 3]
    assert found.surest(False, 5).tolist() == [2, 4, 6], "a guessed class once"
    assert found.closest(3).tolist()[:2] == [5, 3]
    assert found.top(3, 2) == [(7, pytest.approx(0.51)), (3, pytest.approx(0.49))]
    assert found.shares.sum(axis=1) == pytest.approx(1)


def test_kinds_and_an_order_that_puts_the_confused_together():
    wnids = [f"n{number:08d}" for number in (1443537, 2000000, 2100000, 2499999, 2650000, 4500000, 7579787, 9193705)]
    assert wordnet_groups(wnids) == [("animals", [0, 1, 2, 3]), ("things", [4, 5]), ("food", [6]), ("places", [7])]
    counts = np.zeros((8, 8), dtype=np.int64)
    counts[0, 2] = counts[3, 1] = 9  # 0 with 2, 1 with 3, and the two pairs hardly
    counts[2, 3] = 1
    labels, groups = order(counts, wnids)
    assert groups == [("animals", 4), ("things", 2), ("food", 1), ("places", 1)]
    assert sorted(labels.tolist()) == list(range(8)) and labels[4:].tolist() == [4, 5, 6, 7]
    assert labels[:4].tolist() in ([0, 2, 3, 1], [1, 3, 2, 0])


@pytest.mark.parametrize("seed", range(5))
def test_the_order_does_not_hang_on_rounding(seed):
    rng = np.random.default_rng(seed)
    wnids = [f"n{number:08d}" for number in range(1443537, 1443537 + 120)]
    counts = np.diag(np.full(120, 2))
    counts[rng.integers(120, size=30), rng.integers(120, size=30)] += 1  # most classes are never confused
    rounded = counts + 1e-13 * rng.random((120, 120))
    assert order(counts, wnids)[0].tolist() == order(rounded, wnids)[0].tolist()
