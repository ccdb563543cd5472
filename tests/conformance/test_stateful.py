"""Layers that carry sums and hidden states from pass to pass: either engine continues from the other's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caffe.proto import caffe_pb2

from .compare import array_differences
from .engines import OURS, REAL
from .training import HERE


def layout(path: Path) -> str:
    """A .caffemodel as text, without its numbers."""
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    for layer in net.layer:
        for blob in layer.blobs:
            del blob.data[:]
    return str(net)


@pytest.mark.usefixtures("real_caffe")
@pytest.mark.parametrize("first, second", [(REAL, OURS), (OURS, REAL)], ids=["real first", "ours first"])
def test_passes_and_weights(work: Path, first, second) -> None:
    weights = f"stateful_{first.name}.caffemodel"
    arrays = []
    for engine, mode in ((first, "make"), (second, "load")):
        out = f"stateful_{first.name}_{engine.name}"
        engine.python(HERE / "run_stateful.py", [mode, weights, out], work)
        with np.load(work / f"{out}.npz") as file:
            arrays.append(dict(file))
    assert array_differences(*arrays) == []
    ours, real = (work / f"stateful_{first.name}_{name}.caffemodel" for name in ("ours", "real"))
    assert layout(ours).splitlines() == layout(real).splitlines()
