"""Dawid and Skene's EM over the models' confusion matrices, with soft votes.

Begins with what `confusion` counts on labelled images. Then the images to merge, which have no label, take part with
what is thought of them so far: in turns the confusions say of which class each image is (E), and the images say what
the confusions are (M). See Dawid and Skene, Maximum Likelihood Estimation of Observer Error-Rates Using the EM
Algorithm, 1979; the report's section 6 wished for "some kind of EM algorithm to merge results based on class wise
confusion matrices for each model". What an image gets depends on the others merged with it, not on their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.methods import confusion

#: EM ends when no image's class probabilities move by more than this, or after so many turns.
TOLERANCE, TURNS = 1e-3, 20


@dataclass(frozen=True)
class DawidSkene:
    """Where EM begins, and how many turns it takes at most."""

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
