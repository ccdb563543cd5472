"""Both engines run 20 iterations with every solver type, rate policy and option; log lines and weights agree.

Measured: displayed numbers agree to six digits apart from the last digit (7.7e-6), weights within 4.7e-7 of the largest.
The project's bound is 1e-3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from . import trajectories
from .compare import DISPLAYED, WEIGHTS, array_differences
from .engines import OURS, REAL
from .trajectories import BY_TYPE, STEMS, TRAJECTORIES, Trajectory

Runs = dict[str, Trajectory]


@pytest.fixture(scope="module")
def real(work: Path) -> Runs:
    return trajectories.recorded() if REAL.why_not() else trajectories.live(work)


@pytest.fixture(scope="module")
def mine(work: Path) -> Runs:
    return trajectories.run(OURS, work, STEMS, "ours_trajectories")


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_trajectory_matches_real_caffe(name: str, mine: Runs, real: Runs) -> None:
    assert mine[name].lines == real[name].lines
    np.testing.assert_allclose(mine[name].numbers, real[name].numbers, rtol=DISPLAYED)
    assert array_differences(mine[name].weights, real[name].weights, WEIGHTS) == []


def test_no_two_trajectories_end_alike(real: Runs) -> None:
    """An option that changes nothing would prove nothing."""
    ends = {name: each.weights["scores/0"].tobytes() for name, each in real.items()}
    # Two of these show only in the log or the snapshot; the third is another way to write one sharing.
    same = ("debug_info", "snapshot_diff", "shared by name, factors given by the second")
    assert len({end for name, end in ends.items() if name not in same}) == len(ends) - len(same)


def test_options_show_in_the_log(real: Runs) -> None:
    assert sum("Gradient clipping" in line for line in real["clip_gradients"].lines) > 5
    assert sum("MultiStep Status" in line for line in real["rate multistep"].lines) == 3
    assert sum("[Backward]" in line for line in real["debug_info"].lines) > 10
    assert {line for line in real["states"].lines if "#1" in line} > {"Iteration 7, Testing net (#1)"}
    assert "scores/0/diff" in real["snapshot_diff"].weights


def test_ours_resumes_from_real_caffes_state(real_caffe: None, work: Path, real: Runs) -> None:
    found = trajectories.run(OURS, work, BY_TYPE, "ours_from_real", restore="real_trajectories")
    assert_end_alike(found, real)


def test_real_caffe_resumes_from_our_state(real_caffe: None, work: Path, mine: Runs, real: Runs) -> None:
    found = trajectories.run(REAL, work, BY_TYPE, "real_from_ours", restore="ours_trajectories")
    assert_end_alike(found, real)


def assert_end_alike(found: Runs, unstopped: Runs) -> None:
    for name in BY_TYPE:
        assert array_differences(found[name].weights, unstopped[name].weights, WEIGHTS) == [], name


def test_recorded_trajectories_are_what_real_caffe_does(real_caffe: None, real: Runs) -> None:
    for name, then in trajectories.recorded().items():
        assert then.lines == real[name].lines, name
        np.testing.assert_allclose(then.numbers, real[name].numbers, rtol=DISPLAYED, err_msg=name)
        assert array_differences(then.weights, real[name].weights, WEIGHTS) == [], name
