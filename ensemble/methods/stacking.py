"""Stacking by logistic regression: how much to believe each model is learned, the same for all classes.

For an image and a class, the regression predicts whether that is the image's class. Its inputs are each model's share
for the class and the share's logarithm (Wolpert, Stacked Generalization, 1992). Two weights a model are learned from
every image and class together.

The alternative is one regression over all 200 classes at once, with 200 scores a model as its input. It has 40,000
weights a model to learn from 50 images a class. On one fold of val, with four small nets, it took ten times as long.
It was right no more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.log_softmax import log_scores, softmax

#: The number of classes tried per image: those that the models together rank highest. Others are hardly ever right.
CANDIDATES = 20


@dataclass(frozen=True)
class Stacked:
    """The weights of each model's share and of its logarithm."""

    shares: tuple[float, ...]
    logarithms: tuple[float, ...]

    def __call__(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """The regression's logits as shares. Its intercept is the same for all classes, so it is left out."""
        logs = [log_scores(one) for one in scores]
        weighed = zip(self.shares, self.logarithms, logs)
        return softmax(sum(share * np.exp(one) + logarithm * one for share, logarithm, one in weighed))

    def __str__(self) -> str:
        pairs = zip(self.shares, self.logarithms)
        return ", ".join(f"{share:.2f} p + {log:.2f} log p of model {at}" for at, (share, log) in enumerate(pairs, 1))


def fit(scores: Sequence[np.ndarray], labels: np.ndarray) -> Stacked:
    from sklearn.linear_model import LogisticRegression

    logs = [log_scores(one) for one in scores]
    classes = scores[0].shape[1]
    first = np.argpartition(-sum(logs), min(CANDIDATES, classes) - 1, axis=1)[:, :CANDIDATES]
    asked = np.stack([np.take_along_axis(one, first, axis=1).ravel() for one in logs], axis=1)
    answers = (first == labels[:, None]).ravel()
    if not answers.any() or answers.all():  # no label among the candidates: nothing can be learned
        return Stacked((1.0,) * len(scores), (0.0,) * len(scores))
    weights = LogisticRegression(max_iter=1000).fit(np.hstack([np.exp(asked), asked]), answers).coef_[0].tolist()
    return Stacked(tuple(weights[: len(scores)]), tuple(weights[len(scores) :]))
