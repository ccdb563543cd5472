"""Temperature scaling before averaging: each model's scores are made as sure of themselves as they are right.

A model's logits are divided by one number, its temperature. The fit chooses the temperature at
which the labels are most likely (Guo et al., On Calibration of Modern Neural Networks, 2017). Then the models are averaged: one
that was overconfident no longer outvotes the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.log_softmax import log_scores, softmax

#: The bounds of the search for a temperature.
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Tempered:
    """A temperature for each model."""

    temperatures: tuple[float, ...]

    def __call__(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        calibrated = (softmax(log_scores(one) / at) for one, at in zip(scores, self.temperatures))
        return sum(calibrated) / len(self.temperatures)

    def __str__(self) -> str:
        return "temperatures " + ", ".join(f"{at:.3f}" for at in self.temperatures)


def fit(scores: Sequence[np.ndarray], labels: np.ndarray) -> Tempered:
    return Tempered(tuple(temperature(log_scores(one), labels) for one in scores))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature at which the labels are most likely, in [COLDEST, HOTTEST]: (N, C), (N,) -> float.

    The mean log-likelihood is concave in the inverse of the temperature, so its slope has one zero at most.
    """
    from scipy.optimize import brentq

    true = logits[np.arange(len(labels)), labels].mean()

    def slope(inverse: float) -> float:
        return float(true - (softmax(inverse * logits) * logits).sum(axis=1).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) <= 0:
        return HOTTEST
    if slope(high) >= 0:
        return COLDEST
    return 1 / brentq(slope, low, high, xtol=1e-5)
