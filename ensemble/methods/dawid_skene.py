"""Dawid and Skene's EM over the models' confusion matrices, with soft votes.

EM starts from the counts that `confusion` makes on labelled images. Then the images to merge, which have no label,
take part with their current class probabilities. The E step estimates each image's class from the confusions. The M
step estimates the confusions from the images. An image's result depends on the others merged with it, not on their
labels.

The method is Dawid and Skene's (Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, 1979).
Section 6 of the report wished for "some kind of EM algorithm to merge results based on class wise confusion
matrices for each model".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.methods import confusion

#: EM ends when no image's class probabilities change by more than TOLERANCE, or after TURNS steps.
TOLERANCE, TURNS = 1e-3, 20


@dataclass(frozen=True)
class DawidSkene:
    """The start of EM, and its maximum number of turns."""

    start: confusion.Confusions
    turns: int = TURNS

    def __call__(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        return self.estimate(scores)[0]

    def estimate(self, scores: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """M scores (N, C) -> the images' class probabilities (N, C), and the models' confusions, M (C, C)."""
        votes = self.start.votes(scores)
        annotators = self.start.annotators
        labelled = annotators[0].images
        confusions = [one.confusion() for one in annotators]
        found = confusion.most_likely(votes, confusions, labelled)
        for _ in range(self.turns):
            before, images = found, found.sum(axis=0)
            confusions = [one.confusion(found.T @ vote, images) for one, vote in zip(annotators, votes)]
            found = confusion.most_likely(votes, confusions, labelled + images)
            if np.abs(found - before).max() < TOLERANCE:
                break
        return found, confusions

    def __str__(self) -> str:
        return f"{self.start}; at most {self.turns} turns"


def fit(scores: Sequence[np.ndarray], labels: np.ndarray) -> DawidSkene:
    return DawidSkene(confusion.fit(scores, labels))
