"""The ensemble's rule against slow loops: no two sizes alike, ties everywhere."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest

import ensemble
from ensemble import rule


def draw(seed: int, images: int = 13, classes: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Scores of few different values, so that they tie, and labels."""
    random = np.random.default_rng(seed)
    scores = random.integers(0, 5, (images, classes)).astype(np.float32) / 7
    return scores, random.integers(0, classes, images)


def slow_hit(scores: np.ndarray, label: int, top_k: int) -> bool:
    others = [score for at, score in enumerate(scores) if at != label]
    return sum(score >= scores[label] for score in others) < top_k


def slow_rank(scores: np.ndarray, at: int) -> int:
    return 1 + sum(score > scores[at] for score in scores)


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_hits_are_those_of_a_loop_over_classes(top_k):
    scores, labels = draw(top_k)
    expected = [slow_hit(row, label, top_k) for row, label in zip(scores, labels)]
    assert rule.hits(scores, labels, top_k).tolist() == expected
    assert rule.accuracy(scores, labels, top_k) == sum(expected) / 13
    assert len(set(expected)) == 2, "the case must have both kinds"


def test_a_tie_counts_against():
    scores = np.array([[0.4, 0.4, 0.2], [0.1, 0.5, 0.4]])
    assert rule.hits(scores, np.array([0, 1])).tolist() == [False, True]
    assert rule.hits(scores, np.array([1, 2]), top_k=2).tolist() == [True, True]


def test_accuracy_of_unknown_labels_is_not_a_number():
    scores, labels = draw(3)
    assert math.isnan(rule.accuracy(scores, np.full(13, -1)))
    assert math.isnan(rule.accuracy(scores, np.where(np.arange(13) == 6, -1, labels)))
    assert math.isnan(rule.accuracy(scores[:0], labels[:0]))


@pytest.mark.parametrize("rank_cut", [1, 3, 5])
def test_cut_takes_the_scores_of_the_low_ranks_alone(rank_cut):
    scores, _ = draw(20 + rank_cut)
    expected = [[row[c] if slow_rank(row, c) <= rank_cut else 0 for c in range(9)] for row in scores]
    found = rule.cut_low_ranks(scores, rank_cut)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))
    assert (found != scores).any()


@pytest.mark.parametrize("rank_cut", [1, 1500, 3999])
def test_cut_of_many_classes_keeps_as_many_as_it_says(rank_cut):
    scores = np.random.default_rng(rank_cut).random((3, 4001))
    kept = rule.cut_low_ranks(scores, rank_cut) > 0
    for row, of_row in zip(scores, kept):
        assert sorted(row[of_row]) == sorted(row)[-rank_cut:]


@pytest.mark.parametrize("rank_cut", [0, 9, 200])
def test_cut_of_nothing(rank_cut):
    scores, _ = draw(5)
    np.testing.assert_array_equal(rule.cut_low_ranks(scores, rank_cut), scores)


def test_cut_does_not_write_into_its_argument_and_refuses_a_negative_rank():
    scores, _ = draw(6)
    before = scores.copy()
    rule.cut_low_ranks(scores, 2)
    np.testing.assert_array_equal(scores, before)
    with pytest.raises(ValueError, match="0"):
        rule.cut_low_ranks(scores, -1)


@pytest.mark.parametrize("rank_cut", [0, 4])
def test_combine_is_the_weighted_sum_of_what_the_cut_leaves(rank_cut):
    scores = [draw(seed)[0] for seed in (31, 32, 33)]
    weights = [0.47, 0.33, 0.25]
    expected = np.zeros((13, 9))
    for n in range(13):
        for c in range(9):
            for one, weight in zip(scores, weights):
                if rank_cut == 0 or slow_rank(one[n], c) <= rank_cut:
                    expected[n, c] += weight * float(one[n, c])
    found = rule.combine(scores, weights, rank_cut)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_weights_are_the_accuracies_unless_all_are_zero():
    assert rule.weights([0.5, 0.0]).tolist() == [0.5, 0.0]
    assert rule.weights([0.0, 0.0, 0.0]).tolist() == [1.0, 1.0, 1.0]


def test_every_combination_has_each_set_once_fewer_models_first():
    assert rule.every_combination(3) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    five = rule.every_combination(5)
    assert len(five) == len(set(five)) == 31
    assert [len(one) for one in five] == sorted(len(one) for one in five)


def test_class_deviation():
    # 7 images, 4 classes: counts 3, 0, 2, 2 against 1.75 each.
    assert rule.class_deviation(np.array([0, 2, 3, 0, 3, 2, 0]), 4) == pytest.approx(3.5)


def test_sources_are_python_3_9_and_leave_the_engine_alone():
    for path in Path(ensemble.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            assert not any(module.split(".")[0] == "torch" or "._" in module for module in modules), path
