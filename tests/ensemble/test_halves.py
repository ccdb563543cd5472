"""Halves of val replace the judge: each image is scored once, by a choice that has not seen it."""

import numpy as np
import pytest

from ensemble import halves, rule
from ensemble.crossfit import folds
from ensemble.scoring.score_file import Scores
from harness.errors import UserError

IMAGES = 46


def scored(right: np.ndarray, labels: np.ndarray, other: int = 1) -> Scores:
    """Scores of a model that is right where it says, and otherwise sure of the class `other` places on."""
    scores = np.full((len(labels), rule.CLASSES), 1e-4, np.float32)
    guess = np.where(right, labels, (labels + other) % rule.CLASSES)
    scores[np.arange(len(labels)), guess] = 0.7
    names = np.array([f"val_{number}" for number in range(len(labels))])
    return Scores(scores, labels, names, "val", 7, float(right.mean()), 1.0, "x", "0" * 64)


@pytest.fixture
def labels():
    return np.arange(IMAGES) % 23  # two images of each class, so one in each half


def test_the_single_model_is_chosen_on_the_other_half(labels):
    """One is right on the first half alone, two on the second.

    So each half chooses the model that is wrong on the other half.
    """
    first = folds(labels, 2, halves.SEED) == 0
    found = halves.halves(halves.SINGLE, ["one", "two"], [scored(first, labels), scored(~first, labels)])
    assert [(way.chosen, way.right, way.images) for way in found.ways] == [("two", 0, 23), ("one", 0, 23)]
    assert (found.accuracy.value, found.images, found.chosen) == (0, IMAGES, "two, then one")
    assert found.accuracy.high == pytest.approx(1.959964**2 / (IMAGES + 1.959964**2), abs=1e-6)  # Wilson's, of none


def test_weights_are_of_the_other_half(labels):
    """If two models disagree, the one that was right more often on the other half decides."""
    first = folds(labels, 2, halves.SEED) == 0
    one, two = first, ~first
    found = halves.halves(halves.ALL, ["one", "two"], [scored(one, labels), scored(two, labels, 2)])
    assert [way.right for way in found.ways] == [0, 0] and found.chosen == "one + two"
    both = halves.halves(halves.BEST, ["one", "two"], [scored(~one, labels), scored(~one, labels, 2)])
    assert [way.right for way in both.ways] == [0, 23]  # right on the second half, whatever is chosen


def test_every_image_counts_once(labels):
    random = np.random.default_rng(3)
    models = [f"nin{number}" for number in (1, 2, 3)] + ["alexnet1"]
    val = [scored(random.random(IMAGES) < share, labels, at + 1) for at, share in enumerate((0.3, 0.5, 0.6, 0.4))]
    for name in (halves.SINGLE, halves.ALL, halves.BEST):
        found = halves.halves(name, models, val)
        assert found.images == IMAGES and sum(way.images for way in found.ways) == IMAGES
        assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    lines = halves.lines(models, val)
    assert [line.partition(":")[0] for line in lines] == [
        "best single model", "the three NIN together", "best combination"
    ]  # fmt: skip
    assert f"of {IMAGES} val images; " in lines[1] and "nin1 + nin2 + nin3" in lines[1] and "alexnet1" not in lines[1]
    assert [line.partition(":")[0] for line in halves.lines(models[1:3], val[1:3])] == [
        "best single model", "best combination"
    ]  # fmt: skip
    assert len(halves.lines(models[:1], val[:1])) == 1


def test_one_image_has_no_halves(labels):
    val = [scored(np.ones(1, bool), labels[:1])]
    assert halves.lines(["nin1"], val) == []
    with pytest.raises(UserError, match="too few for 2 folds"):
        halves.halves(halves.SINGLE, ["nin1"], val)
