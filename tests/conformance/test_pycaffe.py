"""Classifier, Detector, forward_all, forward_backward_all and coord_map give what real pycaffe's give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .compare import array_differences
from .engines import OURS, REAL, workspace

SCRIPT = Path(__file__).with_name("run_pycaffe.py")


@pytest.mark.usefixtures("real_caffe")
def test_same_scores_passes_and_maps():
    found = []
    with workspace() as work:
        for engine in (OURS, REAL):
            engine.python(SCRIPT, [f"{engine.name}.npz"], work)
            with np.load(work / f"{engine.name}.npz") as file:
                found.append(dict(file))
    assert len(found[0]) == 88
    assert array_differences(*found) == []
