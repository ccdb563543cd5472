"""Accuracy against a loop (exact shares)."""

import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import forward, make_layer


def accuracy(scores, labels, top_k=1, ignore=None):
    """Share right and share right of each class; ``scores`` has its classes last."""
    classes = scores.shape[-1]
    right, seen = np.zeros(classes), np.zeros(classes)
    for place in np.ndindex(labels.shape):
        label = int(labels[place])
        if label == ignore:
            continue
        seen[label] += 1
        better = sum(1 for c in range(classes) if c != label and scores[place][c] >= scores[place][label])
        right[label] += better < top_k
    overall = right.sum() / seen.sum() if seen.sum() else 0
    return overall, np.array([r / s if s else 0 for r, s in zip(right, seen, strict=True)])


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("ignore", [None, 1])
@pytest.mark.parametrize("axis", [1, 2])
def test_values(rng, top_k, ignore, axis):
    # Few levels: many ties.
    scores = rng.integers(0, 4, (6, 4, 5)).astype(float)
    last = np.moveaxis(scores, axis, -1)
    # The last class has no label, so that its share is 0 and not 0 / 0.
    labels = rng.integers(0, last.shape[-1] - 1, last.shape[:-1])
    given = "" if ignore is None else f"ignore_label: {ignore}"
    layer = make_layer(
        f'type: "Accuracy" accuracy_param {{ top_k: {top_k} axis: {axis} {given} }}', scores.shape, labels.shape, tops=2
    )
    overall, per_class = accuracy(last, labels, top_k, ignore)
    found, found_per_class = forward(layer, scores, labels)
    assert found.shape == ()
    np.testing.assert_allclose(found, overall, rtol=1e-6)
    np.testing.assert_allclose(found_per_class, per_class, rtol=1e-6)


def test_ties_count_against():
    layer = make_layer('type: "Accuracy"', (2, 3), (2,))
    assert forward(layer, np.array([[5.0, 5, 1], [5, 4, 1]]), np.array([0, 0]))[0] == 0.5
    top_two = make_layer('type: "Accuracy" accuracy_param { top_k: 2 }', (1, 3), (1,))
    assert forward(top_two, np.array([[5.0, 5, 1]]), np.array([1]))[0] == 1
    assert forward(top_two, np.array([[5.0, 5, 5]]), np.array([1]))[0] == 0


def test_all_ignored_is_zero():
    layer = make_layer('type: "Accuracy" accuracy_param { ignore_label: 9 }', (2, 3), (2,))
    assert forward(layer, np.ones((2, 3)), np.array([9, 9]))[0] == 0


def test_refused():
    with pytest.raises(CaffeError, match="top_k 4"):
        make_layer('type: "Accuracy" accuracy_param { top_k: 4 }', (2, 3), (2,))
    with pytest.raises(CaffeError, match="number of labels"):
        make_layer('type: "Accuracy"', (2, 3), (5,))
    with pytest.raises(CaffeError, match="label 3 is not a class"):
        forward(make_layer('type: "Accuracy"', (2, 3), (2,)), np.ones((2, 3)), np.array([0, 3]))
