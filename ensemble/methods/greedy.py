"""Greedy selection: models are added one by one, each as often as it helps.

Each round adds the model whose addition makes the sum most accurate on the images of the fit. A model may be added
again, which gives it more weight. The best sum of any round is kept (Caruana et al., Ensemble Selection from
Libraries of Models, 2004). If sums are equally accurate, the one with the smaller log loss counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import rule
from ensemble.log_softmax import LEAST

ROUNDS = 25


@dataclass(frozen=True)
class Selection:
    """The number of times each model was added."""

    times: tuple[int, ...]

    def __call__(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        added = ((count, one) for count, one in zip(self.times, scores) if count)
        return sum(count * one.astype(np.float64) for count, one in added) / sum(self.times)

    def __str__(self) -> str:
        return ", ".join(f"{count} x model {at}" for at, count in enumerate(self.times, 1) if count)


def fit(scores: Sequence[np.ndarray], labels: np.ndarray, rounds: int = ROUNDS) -> Selection:
    total = np.zeros(scores[0].shape, dtype=np.float64)
    times = [0] * len(scores)
    along = []
    for _ in range(rounds):
        quality, at = min((_badness(total + one, labels), at) for at, one in enumerate(scores))
        total += scores[at]
        times[at] += 1
        along.append((quality, tuple(times)))
    return Selection(min(along, key=lambda step: step[0])[1])


def _badness(total: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The quantities to minimise: the share of wrong images, then the log loss."""
    true = total[np.arange(len(labels)), labels] / np.maximum(total.sum(axis=1), LEAST)
    return 1 - rule.accuracy(total, labels), float(-np.log(np.maximum(true, LEAST)).mean())
