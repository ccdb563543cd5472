"""All methods on the same images, side by side: how often each is right, and whether that differs beyond noise.

Val scores are cross-fitted, so no image is scored by a fit on its own label. Held-out images, if any, are scored by
the fit on all of val. The best single model is chosen on all of val, so its accuracy looks a little too good. A gain
over it therefore looks too small rather than too large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ensemble import balance, rule
from ensemble.crossfit import FOLDS, cross_fitted, folds
from ensemble.methods import METHODS
from ensemble.scoring.score_file import Scores
from ensemble.significance import RESAMPLES, accuracy_interval, gain_interval, holm, mcnemar

#: A difference whose adjusted p is below this is beyond noise.
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """One way to choose labels against another, on the same images."""

    gain: float  #: accuracy minus the other's
    low: float  #: lower bound of the gain's bootstrap interval
    high: float
    only_this: int  #: images that only this one classifies correctly
    only_other: int
    p: float  #: exact p of McNemar's test
    adjusted: float  #: p after Holm's correction over all tests of its table

    @property
    def beyond_noise(self) -> bool:
        return self.adjusted < LEVEL


@dataclass(frozen=True)
class Row:
    """A method, or the best single model."""

    name: str
    fitted: str  #: the values fitted on all of val, in words
    val: float
    low: float
    high: float
    holdout: float | None
    over_single: Difference | None  #: None for the best single model itself
    over_report: Difference | None  #: None for the report's rule itself


@dataclass(frozen=True)
class Balanced:
    """A method with the labels of val chosen together, at full strength and at a cross-fitted one."""

    name: str
    deviation: float  #: sum over classes of |images given - images of the class|
    deviation_after: float
    val: float
    val_after: float
    over_plain: Difference
    strength: float  #: the best strength on val
    val_fitted: float
    fitted_over_plain: Difference


@dataclass(frozen=True)
class Comparison:
    """The tables, and the models and images that they compare."""

    models: list[str]
    iterations: list[int]
    snapshot_sha256: list[str]
    accuracies: list[float]  #: accuracies of the models on val
    single: str  #: the best model
    images: int
    holdout_images: int
    folds: int
    thin_classes: int  #: number of classes with fewer images than folds
    seed: int
    resamples: int
    rows: list[Row]
    balanced: list[Balanced] = field(default_factory=list)


def compare(models: Sequence[str], val: Sequence[Scores], holdout: Sequence[Scores] | None, count: int = FOLDS,
            seed: int = 0, say: Callable[[str], object] = lambda name: None) -> Comparison:  # fmt: skip
    """Fit and score every method; `say` gets the name of the method that starts."""
    labels = val[0].labels
    fold = folds(labels, count, seed)
    best = int(np.argmax([file.accuracy for file in val]))
    merged = {models[best]: val[best].scores.astype(np.float64)}
    fitted = {models[best]: "the best single model"}
    held = {models[best]: rule.accuracy(holdout[best].scores, holdout[best].labels) if holdout else None}
    for name, method in METHODS.items():
        say(name)
        merged[name] = cross_fitted(method.fit, [file.scores for file in val], labels, fold)
        combine = method.fit([file.scores for file in val], labels)
        fitted[name], held[name] = str(combine), None
        if holdout:
            held[name] = rule.accuracy(combine([file.scores for file in holdout]), holdout[0].labels)
    right = {name: rule.hits(scores, labels) for name, scores in merged.items()}
    rows = [
        Row(name, fitted[name], float(hit.mean()), *accuracy_interval(hit, seed), held[name],
            _difference(hit, right[models[best]], seed) if name != models[best] else None,
            _difference(hit, right["report"], seed) if name != "report" else None)
        for name, hit in right.items()
    ]  # fmt: skip
    say("balance")
    present = np.bincount(labels, minlength=rule.CLASSES)
    return Comparison(
        list(models), [file.iteration for file in val], [file.snapshot_sha256 for file in val],
        [file.accuracy for file in val], models[best], len(labels), len(holdout[0].labels) if holdout else 0, count,
        int(((present > 0) & (present < count)).sum()), seed, RESAMPLES,
        _adjusted(rows, ("over_single", "over_report")),
        _adjusted([_balanced(name, scores, labels, fold, seed) for name, scores in merged.items()],
                  ("over_plain", "fitted_over_plain")))  # fmt: skip


def _difference(this: np.ndarray, other: np.ndarray, seed: int) -> Difference:
    test = mcnemar(this, other)
    gain = float(this.mean() - other.mean())
    return Difference(gain, *gain_interval(this, other, seed), *test, test.p)


def _adjusted(rows: list, names: Sequence[str]) -> list:
    """The rows with Holm's correction over all their tests."""
    tests = [(at, name) for at, row in enumerate(rows) for name in names if getattr(row, name)]
    found = list(rows)
    for (at, name), adjusted in zip(tests, holm([getattr(rows[at], name).p for at, name in tests])):
        found[at] = replace(found[at], **{name: replace(getattr(found[at], name), adjusted=adjusted)})
    return found


def _balanced(name: str, scores: np.ndarray, labels: np.ndarray, fold: np.ndarray, seed: int) -> Balanced:
    """The prices see no label; the strength is chosen for each fold by the labels of the others."""
    logs = balance.log_scores(scores)
    price = balance.prices(logs)
    plain = rule.hits(scores, labels)
    tried = np.array([rule.hits(logs + strength * price, labels) for strength in balance.STRENGTHS])
    chosen = np.empty_like(plain)
    for one in np.unique(fold):
        chosen[fold == one] = tried[tried[:, fold != one].mean(axis=1).argmax(), fold == one]
    full = rule.hits(logs + price, labels)
    return Balanced(
        name, rule.class_deviation(scores.argmax(axis=1)), rule.class_deviation((logs + price).argmax(axis=1)),
        float(plain.mean()), float(full.mean()), _difference(full, plain, seed),
        balance.STRENGTHS[int(tried.mean(axis=1).argmax())], float(chosen.mean()), _difference(chosen, plain, seed),
    )  # fmt: skip
