"""One workspace, and one run of each engine for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import reference as reference_
from . import training
from .engines import OURS, REAL, workspace
from .reference import RUNS, Reference


@pytest.fixture(scope="session")
def work() -> Iterator[Path]:
    """The workspace that both engines see, with the data set and the initial weights as our engine writes
    them.
    """
    with workspace() as folder:
        training.prepare(OURS, folder)
        yield folder


@pytest.fixture(scope="session")
def reference(work: Path) -> Reference:
    """Real Caffe's answers: live where it can be run, otherwise recorded. Its snapshots lie in the
    workspace's real/.
    """
    return reference_.recorded(work) if REAL.why_not() else reference_.live(work)


@pytest.fixture(scope="session")
def ours(work: Path) -> dict[str, training.Result]:
    """The same runs by our engine. Its snapshots lie in the workspace's ours/."""
    return {name: training.train(OURS, work, f"ours/{name}", rate, until) for name, (rate, until) in RUNS.items()}


@pytest.fixture(scope="session")
def real_caffe() -> None:
    """For a test that must run real Caffe itself: recorded values cannot stand in."""
    if reason := REAL.why_not():
        pytest.skip(f"real Caffe: {reason}")
