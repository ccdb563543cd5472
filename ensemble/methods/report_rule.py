"""The report's rule: scores weighted by accuracy, low ranks neglected, over the best combination of models.

The rule is ensemble/rule.py's (report, sections 4 and 5). As in `make ensemble`, the combination is chosen by
accuracy on the images it is fitted on. That choice is a part of the method, so it is cross-fitted with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import rule


@dataclass(frozen=True)
class Rule:
    """A combination of models and their weights."""

    chosen: tuple[int, ...]
    weights: tuple[float, ...]  #: weights of the chosen models, in their order

    def __call__(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        return rule.combine([scores[at] for at in self.chosen], self.weights, rule.RANK_CUT)

    def __str__(self) -> str:
        return ", ".join(f"{weight:.4f} x model {at + 1}" for at, weight in zip(self.chosen, self.weights))


def fit(scores: Sequence[np.ndarray], labels: np.ndarray) -> Rule:
    accuracies = [rule.accuracy(one, labels) for one in scores]
    found = [
        (-rule.accuracy(total, labels), len(chosen), chosen)  # the order of rule.every_combination for equals
        for chosen, total in _totals([rule.cut_low_ranks(one, rule.RANK_CUT) for one in scores], accuracies)
    ]
    chosen = min(found)[2]
    return Rule(chosen, tuple(rule.weights([accuracies[at] for at in chosen]).tolist()))


def _totals(cut: Sequence[np.ndarray], accuracies: Sequence[float], chosen: tuple[int, ...] = (),
            total: np.ndarray | float = 0.0) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:  # fmt: skip
    """Every non-empty combination and its summed scores. Each takes one addition to the sum of a smaller set."""
    weights = accuracies if any(accuracies) else [1.0] * len(cut)
    for at in range(chosen[-1] + 1 if chosen else 0, len(cut)):
        with_it = total + np.float64(weights[at]) * cut[at]
        yield (*chosen, at), with_it
        yield from _totals(cut, accuracies, (*chosen, at), with_it)
