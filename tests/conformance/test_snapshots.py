"""Each engine resumes from the other's snapshot, with the learning rate as it was and edited by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from .compare import DISPLAYED, WEIGHTS, array_differences, differences
from .engines import OURS, REAL
from .reference import Reference
from .training import EDITED, FIXED, Result, train, weights

# (rate from 20 on, the run that was never stopped).
# Momentum carries the old rate across the edit, as `multistep` does.
EDITS = pytest.mark.parametrize(
    ("rate", "unstopped"), [(FIXED, "straight"), (EDITED, "drop")], ids=["same rate", "edited rate"]
)


def assert_goes_on(resumed: Result, unstopped: Result, learned: dict[str, np.ndarray]) -> None:
    assert sorted(resumed.run.loss) == list(range(20, 41))
    for part in ("loss", "rate", "test"):
        expected = {i: row for i, row in getattr(unstopped.run, part).items() if 20 <= i <= 40}
        # A run that ends shows no rate at its last iteration.
        expected = {i: row for i, row in expected.items() if part != "rate" or i < 40}
        assert differences(getattr(resumed.run, part), expected, DISPLAYED) == [], part
    assert array_differences(resumed.weights, learned, WEIGHTS) == []


@EDITS
def test_ours_resumes_from_real_caffes_snapshot(rate: str, unstopped: str, work: Path, reference: Reference) -> None:
    resumed = train(OURS, work, f"ours/from_real_{unstopped}", rate, 40, "real/straight_iter_20.solverstate")
    expected = weights(OURS, work, f"real/{unstopped}_iter_40.caffemodel")
    assert_goes_on(resumed, reference.runs[unstopped], expected)


@EDITS
def test_real_caffe_resumes_from_our_snapshot(
    rate: str, unstopped: str, real_caffe: None, work: Path, reference: Reference, ours: dict[str, Result]
) -> None:
    resumed = train(REAL, work, f"real/from_ours_{unstopped}", rate, 40, "ours/straight_iter_20.solverstate")
    expected = weights(OURS, work, f"real/{unstopped}_iter_40.caffemodel")
    assert_goes_on(resumed, reference.runs[unstopped], expected)


def test_real_caffe_resumes_in_a_folder_that_was_moved(real_caffe: None, work: Path, ours: dict[str, Result]) -> None:
    """Nothing in our snapshot says where it was written."""
    moved = work / "elsewhere"
    shutil.copytree(work, moved, ignore=shutil.ignore_patterns("real", "elsewhere"))
    state, away = "ours/straight_iter_20.solverstate", work / "away.solverstate"
    (work / state).rename(away)
    try:
        resumed = train(REAL, moved, "real/moved", FIXED, 40, state)
    finally:
        away.rename(work / state)
    there = train(REAL, work, "real/not_moved", FIXED, 40, state)
    assert array_differences(resumed.weights, there.weights, 0) == []


@EDITS
def test_ours_resumes_from_its_own_bit_for_bit(rate: str, unstopped: str, work: Path, ours: dict[str, Result]) -> None:
    resumed = train(OURS, work, f"ours/from_ours_{unstopped}", rate, 40, "ours/straight_iter_20.solverstate")
    expected = weights(OURS, work, f"ours/{unstopped}_iter_40.caffemodel")
    assert array_differences(resumed.weights, expected, 0) == []
