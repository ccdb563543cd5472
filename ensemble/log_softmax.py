"""Log-softmax and softmax: methods multiply scores as logarithms, which lose less to rounding."""

from __future__ import annotations

import numpy as np

#: The floor of a share. float32 rounds small shares of a Softmax to 0, which means "never"; no model knows that.
LEAST = 1e-12


def log_scores(scores: np.ndarray) -> np.ndarray:
    """The logarithm of each row's shares, none below `LEAST`: (N, C), not negative -> float64 (N, C).

    A row is divided by its sum first, so that weighted sums of the models' scores are shares again.
    """
    given = scores.astype(np.float64)
    total = given.sum(axis=1, keepdims=True)
    given = np.divide(given, total, out=np.full_like(given, 1 / given.shape[1]), where=total > 0)
    return np.log(np.maximum(given, LEAST))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn rows into shares that sum to 1: (N, C) -> (N, C)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
