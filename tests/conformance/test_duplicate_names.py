"""Layers of one name in real Caffe's files: our engine gives each its own weights, which real Caffe does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .compare import array_differences
from .engines import OURS, REAL, Engine
from .training import HERE


@pytest.mark.parametrize("how", ["load", "resume"])
@pytest.mark.parametrize("saves", [REAL, OURS], ids=lambda engine: engine.name)
def test_each_layer_gets_its_own(saves: Engine, how: str, real_caffe: None, work: Path) -> None:
    script = HERE / "duplicate_names.py"
    saves.python(script, ["train", "saved.npz"], work)
    OURS.python(script, [how, "loaded.npz"], work)
    with np.load(work / "saved.npz") as saved, np.load(work / "loaded.npz") as loaded:
        assert len(saved) == 8
        assert array_differences(dict(loaded), dict(saved), 0) == []
