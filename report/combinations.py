"""Every combination of the models: its accuracy, and how evenly it spreads the test images over the classes."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble import rule
from ensemble.combination import Combination
from ensemble.combine import check_same_snapshots, combinations, held_out, load_all, load_labelled
from ensemble.scoring.score_data import OtherData
from ensemble.scoring.score_file import Scores, score_path
from ensemble.submission import read_best
from harness.errors import UserError


@dataclass(frozen=True)
class Spread:
    """How a combination spreads the test images over the classes (report, section 6)."""

    models: list[str]
    deviation: float  #: sum over classes of |images given - images expected|
    accuracy: float  #: accuracy on the held-out images, otherwise on val, since the judge's labels are secret


@dataclass(frozen=True)
class Ensembles:
    """The choice that `make ensemble` had, with low ranks cut: all combinations, the best on val first."""

    models: list[str]
    rank_cut: int
    val: list[Scores]
    holdout: list[Scores] | None
    test: list[Scores] | None  #: None if a model has no scores on test
    table: list[Combination]

    def total(self, one: Combination, files: list[Scores]) -> np.ndarray:
        """The scores of a combination over a split: (N, 200)."""
        return rule.combine([files[self.models.index(model)].scores for model in one.models], one.weights)

    def spreads(self) -> list[Spread]:
        """The spread of every combination, in the table's order; empty without scores on test."""
        if self.test is None:
            return []
        return [
            Spread(one.models, rule.class_deviation(self.total(one, self.test).argmax(axis=1)),
                   one.val_accuracy if one.holdout_accuracy is None else one.holdout_accuracy)
            for one in self.table
        ]  # fmt: skip


def read_ensembles(runs: Path, data: Path, tell: Callable[[str], None]) -> Ensembles:
    """Read the score files and combine them by the rule in best.json. UserError if they are missing or mixed.

    Scores of records that `data` no longer holds are left out. Held-out and test images are reported to `tell`; for
    val it is a UserError.
    """
    best = read_best(runs, data=data)
    models = _models(runs / "ensemble" / "combinations.csv")
    if not set(best["models"]) <= set(models):
        raise UserError(f"{runs / 'ensemble'}: best.json and combinations.csv are of two runs; `make ensemble`")
    cut = best["rank_cut"]
    val = _cut(load_labelled(runs, models, "val", data=data), cut)
    chosen = [val[models.index(model)] for model in best["models"]]
    check_same_snapshots(best["models"], best["snapshot_sha256"], chosen)
    holdout = held_out(runs, models, val, data, tell)
    holdout = _cut(holdout, cut) if holdout else None
    test = None
    if all(score_path(runs, model, "test").is_file() for model in models):
        try:
            test = load_all(runs, models, "test", data=data)
            check_same_snapshots(models, [file.snapshot_sha256 for file in val], test)
            test = _cut(test, cut)
        except OtherData as error:
            tell(str(error))
    return Ensembles(models, cut, val, holdout, test, combinations(models, val, holdout, 0))


def _models(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            models = sorted({name for row in csv.DictReader(file) for name in row["models"].split("+")})
        if not models:
            raise ValueError("no combination")
        return models
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: not what `make ensemble` writes ({error!r}); run it again") from error


def _cut(files: list[Scores], rank_cut: int) -> list[Scores]:
    """The files with their low ranks cut. This is done once, not for every combination."""
    return [replace(file, scores=rule.cut_low_ranks(file.scores, rank_cut)) for file in files]


def correlation(spreads: list[Spread]) -> float | None:
    """Pearson's r of deviation and accuracy; None for fewer than three points, or if one does not vary."""
    points = np.array([(one.deviation, one.accuracy) for one in spreads]).reshape(-1, 2)
    if len(points) < 3 or (np.ptp(points, axis=0) == 0).any():
        return None
    return float(np.corrcoef(points.T)[0, 1])
