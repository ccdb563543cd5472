"""Confusion matrices: what each model says of images of each class, counted on labelled images.

A model is treated as an annotator with habits. If the truth is c, it votes for k with probability confusion[c, k].
A vote is the whole row of scores, sharpened, so each model votes in shares. An image gets the class under which all
the models' votes are most likely. The report's section 6 calls this "model wise bias towards each class".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import rule
from ensemble.log_softmax import softmax

#: Powers tried on scores to make them votes: 1 leaves them, a large power nearly votes for one class.
SHARPNESSES = (1, 2, 4, 8)
#: Images per class tried for smoothing a row of confusion, and the number used during the search for the sharpness.
STRENGTHS, STRENGTH = (3.0, 10.0, 30.0, 100.0), 30.0


@dataclass(frozen=True)
class Annotator:
    """A model's habits, counted on labelled images."""

    counts: np.ndarray  #: (C, C), row c: the votes on the images of class c, summed
    images: np.ndarray  #: (C,), the number of images behind each row
    usual: np.ndarray  #: (C, C), rows that sum to 1: the confusion of a model that treats all classes alike
    strength: float = STRENGTH  #: the number of images that `usual` counts for in each row

    def confusion(self, more_counts: np.ndarray | float = 0.0, more_images: np.ndarray | float = 0.0) -> np.ndarray:
        """The confusion (C, C), rows that sum to 1, from the labelled images and from added ones."""
        images = self.images + more_images + self.strength
        return (self.counts + more_counts + self.strength * self.usual) / images[:, None]

    def left_out(self, votes: np.ndarray, labels: np.ndarray, strength: float) -> np.ndarray:
        """The log-likelihood of each labelled image's votes under the other images' counts: (N, C), (N,) -> (N,)."""
        others = (self.counts + strength * self.usual).astype(np.float32)[labels] - votes
        logs = np.log(others, out=others)
        return np.einsum("ik,ik->i", votes, logs, dtype=np.float64) - np.log(self.images[labels] - 1 + strength)


@dataclass(frozen=True)
class Confusions:
    """The models as annotators."""

    annotators: tuple[Annotator, ...]
    sharpness: int

    def votes(self, scores: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The models' votes, rows that sum to 1: M arrays (N, C) -> M arrays (N, C)."""
        return [sharpened(one, self.sharpness) for one in scores]

    def __call__(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        return most_likely(self.votes(scores), [one.confusion() for one in self.annotators], self.annotators[0].images)

    def __str__(self) -> str:
        smoothed = ", ".join(f"{one.strength:g}" for one in self.annotators)
        return f"scores to the power of {self.sharpness}, smoothed by {smoothed} images a class"


def sharpened(scores: np.ndarray, sharpness: int) -> np.ndarray:
    """Rows to their power, as shares: (N, C) -> float32 (N, C). For votes float32 is exact enough and much faster."""
    powers = scores.astype(np.float32)
    powers /= np.maximum(
        powers.max(axis=1, keepdims=True), 1e-30
    )  # scaled before the power, which might underflow to 0
    powers += 1e-30  # a row of zeros now votes for all classes equally
    powers **= sharpness
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def most_likely(votes: Sequence[np.ndarray], confusions: Sequence[np.ndarray], images: np.ndarray) -> np.ndarray:
    """Class probabilities from votes M (N, C) and from `images` (C,), the classes' image counts: -> (N, C)."""
    shares = (images + 1) / (images + 1).sum()
    return softmax(
        np.log(shares) + sum(vote @ np.log(each).T.astype(vote.dtype) for vote, each in zip(votes, confusions))
    )


def fit(scores: Sequence[np.ndarray], labels: np.ndarray) -> Confusions:
    """Fit sharpness and smoothing: those that do best if each labelled image is predicted from all the others."""
    sharpness = max(SHARPNESSES, key=lambda one: _left_out_accuracy([sharpened(each, one) for each in scores], labels))
    annotators = []
    for one in scores:
        votes = sharpened(one, sharpness)
        model = annotator(votes, labels)
        strength = max(STRENGTHS, key=lambda strength: model.left_out(votes, labels, strength).sum())
        annotators.append(Annotator(model.counts, model.images, model.usual, strength))
    return Confusions(tuple(annotators), sharpness)


def annotator(votes: np.ndarray, labels: np.ndarray) -> Annotator:
    """Count a model's votes by the labels: (N, C), (N,)."""
    classes = votes.shape[1]
    truth = np.eye(classes, dtype=votes.dtype)[labels]
    counts = truth.T @ votes
    return Annotator(counts, truth.sum(axis=0), _usual(counts))


def _usual(counts: np.ndarray) -> np.ndarray:
    """Equal accuracy in every class; errors are spread in proportion to how often each class is a wrong vote."""
    classes = len(counts)
    right = (np.trace(counts) + 1) / (counts.sum() + classes)
    usual = np.tile(counts.sum(axis=0) - np.diag(counts) + 1, (classes, 1))
    np.fill_diagonal(usual, 0)
    usual *= (1 - right) / usual.sum(axis=1, keepdims=True)
    np.fill_diagonal(usual, right)
    return usual


def _left_out_accuracy(votes: Sequence[np.ndarray], labels: np.ndarray) -> float:
    """The accuracy on the labelled images if each one's own votes are left out of its class's counts."""
    rows = np.arange(len(labels))
    total = np.zeros(votes[0].shape)
    true = np.zeros(len(labels))
    for one in votes:
        model = annotator(one, labels)
        total += one @ np.log(model.confusion()).T.astype(one.dtype)
        true += model.left_out(one, labels, model.strength)
    total[rows, labels] = true
    return rule.accuracy(total, labels)
