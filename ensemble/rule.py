"""The report's rule for an ensemble, as functions of arrays (sections 4 and 5 of the report).

A model's score for a class is the output of its deploy net's Softmax. An ensemble adds up its models' scores, each
times that model's accuracy on the validation set. A score that came from "really low ranks" is ignored. N below is
the number of images, C the number of classes, M the number of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

#: Tiny ImageNet's number of classes.
CLASSES = 200

#: A class that a model ranks in the lower half of the 200 gets nothing from it. The report gives no number;
#: this one removes only what is surely noise. 0 removes nothing.
RANK_CUT = 100


def hits(scores: np.ndarray, labels: np.ndarray, top_k: int = 1) -> np.ndarray:
    """Mark the images that are classified correctly, as Caffe's Accuracy layer does: (N, C), (N,) -> bool (N,).

    A prediction is correct if fewer than `top_k` other classes score at least as much as the true one. A tie
    therefore counts as wrong (accuracy_layer.cpp since August 2017). It matters here: NIN's scores pass a ReLU
    before the Softmax, and classes at zero tie. Labels are in [0, C).
    """
    true = scores[np.arange(len(labels)), labels]
    as_good = np.count_nonzero(scores >= true[:, None], axis=1) - 1
    return as_good < top_k


def accuracy(scores: np.ndarray, labels: np.ndarray, top_k: int = 1) -> float:
    """The share of `hits`, in [0, 1]: (N, C), (N,) -> float. It is nan if a label is unknown (-1) or N is 0."""
    if len(labels) == 0 or (labels < 0).any():
        return float("nan")
    return float(hits(scores, labels, top_k).mean())


def cut_low_ranks(scores: np.ndarray, rank_cut: int) -> np.ndarray:
    """The report's hack: (N, C) -> (N, C) with 0 for every class ranked below `rank_cut`. A cut of 0 keeps all.

    Ranks count from 1 within an image. Classes that tie share the better rank. The cut therefore does not depend
    on the order of the classes, and may keep more than `rank_cut` of them.
    """
    classes = scores.shape[1]
    if rank_cut < 0:
        raise ValueError(f"a rank cut is 0 (off) or more, not {rank_cut}")
    if rank_cut == 0 or rank_cut >= classes:
        return scores
    last_kept = np.partition(scores, classes - rank_cut, axis=1)[:, classes - rank_cut]
    return np.where(scores >= last_kept[:, None], scores, scores.dtype.type(0))


def weights(accuracies: Sequence[float]) -> np.ndarray:
    """The models' weights: val accuracies (M,) -> float64 (M,). They are equal if no model is ever right.

    Without this exception such an ensemble would score every class 0.
    """
    given = np.asarray(accuracies, dtype=np.float64)
    return given if given.any() else np.ones_like(given)


def combine(scores: Sequence[np.ndarray], model_weights: Sequence[float], rank_cut: int = 0) -> np.ndarray:
    """The ensemble's scores: M arrays (N, C) and M weights -> float64 (N, C), summed in the order given."""
    total = np.zeros(scores[0].shape, dtype=np.float64)
    for one, weight in zip(scores, model_weights):
        total += np.float64(weight) * cut_low_ranks(one, rank_cut)
    return total


def every_combination(models: int) -> list[tuple[int, ...]]:
    """All 2^M - 1 non-empty sets of models as tuples of indices: fewer models first, then in order."""
    return [chosen for size in range(1, models + 1) for chosen in combinations(range(models), size)]


def class_deviation(predicted: np.ndarray, classes: int = CLASSES) -> float:
    """The sum over classes of |images given that class - N / C|: (N,) -> a number (report, section 6)."""
    counts = np.bincount(predicted, minlength=classes)
    return float(np.abs(counts - len(predicted) / classes).sum())
