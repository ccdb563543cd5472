"""A combination of models, as the report's rule makes it, with its accuracies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Combination:
    """Some of the models together, and how often they are right."""

    models: list[str]
    weights: list[float]  #: the models' val accuracies, in the same order
    val_accuracy: float
    holdout_accuracy: float | None  #: None without held-out scores
