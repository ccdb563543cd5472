"""A submission that follows a method: fitted on all of val, and used once on test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ensemble import comparison_file
from ensemble.combine import check_same_snapshots, folder, load_all, load_labelled
from ensemble.methods import METHODS
from ensemble.scoring.score_file import Scores
from harness.errors import UserError


def follow(
    method: str, runs: Path, models: Sequence[str] | None, view: str, data: Path | None = None
) -> tuple[list[str], list[Scores], np.ndarray]:
    """The models, their scores on test, and the merged scores (N, C). By default, the models that were compared."""
    if method not in METHODS:
        raise UserError(f"--method {method}: not one of {', '.join(METHODS)}")
    chosen = list(models or comparison_file.read(folder(runs, view) / "methods.json", view, data)[0].models)
    val = load_labelled(runs, chosen, "val", view, data)
    test = load_all(runs, chosen, "test", view, data)
    check_same_snapshots(chosen, [file.snapshot_sha256 for file in val], test)
    combine = METHODS[method].fit([file.scores for file in val], val[0].labels)
    return chosen, test, combine([file.scores for file in test])
