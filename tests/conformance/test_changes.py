"""docs/differences.md: which gradients a change between forward and backward reaches, here and in real Caffe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from . import changes
from .compare import GRADIENT, distance
from .engines import OURS, REAL


@pytest.fixture(scope="module")
def ours(work: Path) -> tuple[changes.Words, dict[str, np.ndarray]]:
    return changes.run(OURS, work)


@pytest.fixture(scope="module")
def real(work: Path, real_caffe: None) -> tuple[changes.Words, dict[str, np.ndarray]]:
    return changes.run(REAL, work)


def test_page_shows_what_is_measured(ours) -> None:
    recorded = json.loads(changes.RECORDED.read_text())
    text = changes.PAGE.read_text()
    wanted = changes.page(text, changes.tables(recorded, ours[0]))
    assert text.splitlines() == wanted.splitlines(), "run python -m tests.conformance.changes"


def test_labels_count_as_in_real_caffe(ours) -> None:
    recorded = json.loads(changes.RECORDED.read_text())
    labels = [
        (case.name, name) for case in changes.TABLE for name in recorded[case.name] if changes.is_label(case.name, name)
    ]
    assert {case.partition("/")[0] for case, _ in labels} == set(changes.LOSSES)
    assert [key for key in labels if ours[0][key[0]][key[1]] != recorded[key[0]][key[1]]] == []


def test_where_the_engines_differ_ours_is_the_gradient_of_forward(ours) -> None:
    recorded = json.loads(changes.RECORDED.read_text())
    words = [
        (ours[0][case][name].get(gradient, "forward"), theirs)
        for case, blobs in recorded.items()
        for name, gradients in blobs.items()
        for gradient, theirs in gradients.items()
    ]
    assert {mine for mine, theirs in words if mine != theirs} == {"forward"}


def test_recorded_is_still_what_real_caffe_does(real) -> None:
    assert real[0] == json.loads(changes.RECORDED.read_text())


def test_gradients_of_late_labels_equal_real_caffe_s(ours, real) -> None:
    compared = [key for key in real[1] if changes.is_label(*key.split("|")[:2])]
    assert len(compared) > 50
    assert [key for key in compared if not distance(ours[1][key], real[1][key]) <= GRADIENT] == []
