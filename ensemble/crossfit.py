"""Cross-fitting: val in k folds, each scored by a fit on the other folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.errors import UserError

FOLDS = 5
Combine = Callable[[Sequence[np.ndarray]], np.ndarray]
Fit = Callable[[Sequence[np.ndarray], np.ndarray], Combine]


def folds(labels: np.ndarray, count: int = FOLDS, seed: int = 0) -> np.ndarray:
    """The fold of each image, int (N,) in [0, count); each class is spread evenly over the folds.

    Images are shuffled within their class and dealt out in turn. The folds' sizes therefore differ by one image at
    most, and so do a class's images in them. A class of fewer than `count` images is absent from some folds. Raises
    UserError for fewer images than folds, or fewer than 2 folds.
    """
    if count < 2:
        raise UserError(f"{count} folds: at least 2 are needed, one to fit and one to score")
    if len(labels) < count:
        raise UserError(f"{len(labels)} labelled images are too few for {count} folds; ask for fewer with --folds")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), dtype=np.int64)
    fold[by_class] = np.arange(len(labels)) % count
    return fold


def cross_fitted(fit: Fit, scores: Sequence[np.ndarray], labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Each fold's scores by a fit on the others: M scores (N, C), labels (N,), folds (N,) -> float64 (N, C).

    `fit` sees the scores and labels of all folds but one. The function it returns sees the scores of that fold.
    """
    found = np.empty(scores[0].shape, dtype=np.float64)
    for held in np.unique(fold):
        here = fold == held
        combine = fit([one[~here] for one in scores], labels[~here])
        found[here] = combine([one[here] for one in scores])
    return found
