"""Scores as logarithms, where a method multiplies what it would otherwise lose to rounding."""

from __future__ import annotations

import numpy as np

#: float32 rounds smaller shares of a Softmax to 0, which says "never"; no model knows that.
LEAST = 1e-12


def log_scores(scores: np.ndarray) -> np.ndarray:
    """log of each row's shares, none below `LEAST`: (N, C), not negative -> float64 (N, C).

    A row is divided by its sum first, so that weighted sums of the models' scores are shares again.
    """
    given = scores.astype(np.float64)
    total = given.sum(axis=1, keepdims=True)
    given = np.divide(given, total, out=np.full_like(given, 1 / given.shape[1]), where=total > 0)
    return np.log(np.maximum(given, LEAST))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows to shares that sum to 1: (N, C) -> (N, C)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
