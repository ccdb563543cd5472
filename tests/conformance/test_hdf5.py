"""HDF5 snapshots and weights of one engine in the other's hands."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from .compare import WEIGHTS, array_differences
from .engines import OURS, REAL, Engine
from .reference import Reference
from .test_snapshots import assert_goes_on
from .training import FIXED, HERE, solve, train, weights

HDF5 = FIXED + " snapshot_format: HDF5 snapshot_diff: true"
KINDS = ("caffemodel", "solverstate")


def outline(path: Path) -> list[str]:
    """Every group and dataset with its shape and type, strings with their length and padding, and integers with
    their values.
    """
    lines = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            lines.append(f"{name}/")
            return
        type_ = item.id.get_type()
        padding = type_.get_strpad() if isinstance(type_, h5py.h5t.TypeStringID) else None
        value = item[()] if item.dtype.kind == "i" else None
        lines.append(f"{name}: {item.dtype} {item.shape} {padding} {value}")

    with h5py.File(path) as file:
        file.visititems(visit)
    return lines


def arrays(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if getattr(item, "ndim", 0) else None)
    return found


@pytest.fixture(scope="module")
def snapshots(real_caffe: None, work: Path, reference: Reference) -> None:
    """Both engines' HDF5 snapshots at iteration 20, in ours/ and real/; names of one length."""
    for engine in (OURS, REAL):
        solve(engine, work, f"{engine.name}/hdf5", HDF5, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_snapshots_have_one_layout_and_the_same_numbers(kind: str, snapshots: None, work: Path) -> None:
    ours, real = (work / f"{engine}/hdf5_iter_20.{kind}.h5" for engine in ("ours", "real"))
    assert outline(ours) == outline(real)
    assert array_differences(arrays(ours), arrays(real), 2e-5 if kind == "caffemodel" else WEIGHTS) == []


@pytest.mark.parametrize(
    ("engine", "origin"), [(OURS, "real"), (REAL, "ours"), (OURS, "ours")], ids=lambda e: getattr(e, "name", e)
)
def test_resumes(engine: Engine, origin: str, snapshots: None, work: Path, reference: Reference) -> None:
    """As the run that was never stopped."""
    name = f"{engine.name}/from_hdf5_{origin}"
    resumed = train(engine, work, name, FIXED, 40, f"{origin}/hdf5_iter_20.solverstate.h5")
    assert_goes_on(resumed, reference.runs["straight"], weights(OURS, work, "real/straight_iter_40.caffemodel"))


@pytest.mark.parametrize("how", ["load", "copy"])
@pytest.mark.parametrize(("saves", "loads"), [(OURS, REAL), (REAL, OURS), (OURS, OURS)], ids=lambda e: e.name)
def test_weights_with_shared_parameters(saves: Engine, loads: Engine, how: str, real_caffe: None, work: Path) -> None:
    script = HERE / "hdf5_weights.py"
    saves.python(script, ["save", "shared.h5", "saved.npz"], work)
    loads.python(script, [how, "shared.h5", "loaded.npz"], work)
    with np.load(work / "saved.npz") as saved, np.load(work / "loaded.npz") as loaded:
        assert len(saved) == 6
        assert array_differences(dict(loaded), dict(saved), 0) == []
        np.testing.assert_array_equal(saved["first/0"], saved["second/0"])
    # Only the owner's weights are in the file.
    assert [line for line in outline(work / "shared.h5") if "float" in line and "(5, 5)" in line] == [
        "data/first/0: float32 (5, 5) None None"
    ]


OUTPUT = """
layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 3 dim: 4 dim: 2 } shape { dim: 3 } } }
layer { name: "out" type: "HDF5Output" bottom: "a" bottom: "b" hdf5_output_param { file_name: "output.h5" } }
"""


def test_hdf5_output_writes_the_same(real_caffe: None, work: Path) -> None:
    (work / "output.prototxt").write_text(OUTPUT)
    program = "import caffe, numpy as np; net = caffe.Net('output.prototxt', caffe.TEST); " + (
        "net.forward(a=np.arange(24).reshape(3, 4, 2), b=np.array([5, 0, 2]))"
    )
    seen = []
    for engine in (OURS, REAL):
        engine.checked([*engine.interpreter(work), "-c", program], work)
        seen.append((outline(work / "output.h5"), arrays(work / "output.h5")))
    assert seen[0][0] == seen[1][0] and len(seen[0][0]) == 2
    assert array_differences(seen[0][1], seen[1][1], 0) == []
