"""Both engines train one small net on one LMDB from the same weights: displayed numbers and learned weights agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import caffe_log
from . import reference as reference_
from .compare import DISPLAYED, WEIGHTS, array_differences, differences
from .engines import REAL
from .reference import RUNS, Reference
from .training import Result


@pytest.mark.parametrize("name", RUNS)
def test_every_displayed_loss_matches_real_caffe(name: str, ours: dict[str, Result], reference: Reference) -> None:
    ours, real = ours[name].run, reference.runs[name].run
    assert sorted(real.loss) == list(range(RUNS[name][1] + 1)), "the reference shows every iteration and the final loss"
    assert differences(ours.loss, real.loss, DISPLAYED) == []
    assert differences(ours.train, real.train, DISPLAYED) == []


@pytest.mark.parametrize("name", RUNS)
def test_every_test_pass_matches_real_caffe(name: str, ours: dict[str, Result], reference: Reference) -> None:
    ours, real = ours[name].run, reference.runs[name].run
    assert sorted(real.test) == list(range(0, RUNS[name][1] + 1, 10))
    assert differences(ours.test, real.test, DISPLAYED) == []


@pytest.mark.parametrize("name", RUNS)
def test_learning_rates_match_real_caffe(name: str, ours: dict[str, Result], reference: Reference) -> None:
    assert ours[name].run.rate == reference.runs[name].run.rate


@pytest.mark.parametrize("name", RUNS)
def test_trained_weights_match_real_caffe(name: str, ours: dict[str, Result], reference: Reference) -> None:
    assert array_differences(ours[name].weights, reference.runs[name].weights, WEIGHTS) == []


def test_the_reference_learns(reference: Reference) -> None:
    """A net whose weights never change would prove little."""
    run = reference.runs["straight"].run
    assert sum(run.loss[i] for i in range(50, 60)) < 0.8 * sum(run.loss[i] for i in range(10))
    assert len({row["accuracy"] for row in run.test.values()}) > 2


def test_log_lines_match_real_caffe(ours: dict[str, Result], reference: Reference) -> None:
    """Same lines, same order, but for times and values: a program that reads one reads the other."""
    assert caffe_log.skeleton(ours["straight"].log) == reference.skeleton


def test_recorded_values_are_what_real_caffe_does(real_caffe: None, reference: Reference, tmp_path: Path) -> None:
    recorded = reference_.recorded(tmp_path)
    assert recorded.skeleton == reference.skeleton
    for name in RUNS:
        now, then = reference.runs[name], recorded.runs[name]
        for part in ("loss", "rate", "train", "test"):
            assert differences(getattr(then.run, part), getattr(now.run, part), DISPLAYED) == [], part
        assert array_differences(then.weights, now.weights, WEIGHTS) == []
    assert array_differences(recorded.layers, reference.layers, WEIGHTS) == []
    assert REAL.version() == "1.0.0"
