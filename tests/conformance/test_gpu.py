"""The lines that `make conformance-gpu` prints; these tests need no GPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from . import gpu, training
from .cases import CASES
from .engines import OURS, EngineError, OursOnGPU
from .reference import Reference
from .training import HERE


def of_pooling(reference: Reference) -> dict[str, np.ndarray]:
    return {key: value for key, value in reference.layers.items() if key.startswith("Pooling/")}


def pooling_row(ours: dict[str, np.ndarray], reference: Reference) -> dict:
    return next(row for row in gpu.layer_rows(ours, reference.layers) if row["what"] == "Pooling")


def test_every_type_is_within_where_all_is_equal(reference: Reference) -> None:
    rows = list(gpu.layer_rows(reference.layers, reference.layers))
    assert len(rows) == len({case.type for case in CASES})
    assert {row["within"] for row in rows} == {"yes"}
    assert sum(row["cases or iterations"] for row in rows) == len(CASES)


@pytest.mark.parametrize("kind, column, far", [("data", "values", 2e-4), ("diff", "gradients or weights", 1e-3)])
def test_a_number_too_far_is_reported(reference: Reference, kind: str, column: str, far: float) -> None:
    ours = of_pooling(reference)
    name = next(key for key in ours if key.endswith(f"|{kind}"))
    ours[name] = ours[name] + far * np.abs(ours[name]).max()
    row = pooling_row(ours, reference)
    assert row[column] == pytest.approx(far, rel=1e-2)
    assert row["within"] == "no"


def test_a_case_that_failed_or_is_missing_is_reported(reference: Reference) -> None:
    ours = of_pooling(reference)
    case = next(iter(ours)).partition("|")[0]
    kept = {key: value for key, value in ours.items() if key.partition("|")[0] != case}
    assert pooling_row(kept, reference)["within"] == "no"
    assert (
        pooling_row({**kept, f"{case}|error": np.array("RuntimeError: no")}, reference)["within"]
        == "no: RuntimeError: no"
    )


def test_exit_status_and_file_say_what_is_out_of_bounds(monkeypatch, tmp_path: Path, capsys) -> None:
    rows = [gpu._row("Pooling", 2, 0.0, 1.0, False, ""), gpu._row("ReLU", 3, 0.0, 0.0, True, "")]
    monkeypatch.setattr(gpu, "measure", lambda engine: rows)
    out = tmp_path / "conformance_gpu.json"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "1 of 2 within bounds; not: Pooling" in said.out and "there is no GPU" in said.err
    assert not out.exists()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("harness.provenance.machine", lambda gpu: "a GPU")
    assert gpu.main(["--out", str(out)]) == 1
    kept = json.loads(out.read_text())
    assert (kept["machine"], kept["rows"]) == ("a GPU", rows)
    assert gpu.main(["--out", str(out)]) == 1
    rows.pop(0)
    assert gpu.main(["--out", str(out)]) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="says so only where there is no GPU")
def test_trainings_ask_for_the_gpu(work: Path) -> None:
    engine, warning = OursOnGPU(0), "No CUDA device is available"
    assert warning in training.solve(engine, work, "asked/run", training.FIXED, 1)
    (work / "asked/jobs.json").write_text("[]")
    assert warning in engine.python(HERE / "run_trajectories.py", ["asked"], work)
    assert warning not in OURS.python(HERE / "run_trajectories.py", ["asked"], work)


def test_layer_cases_ask_for_the_gpu(work: Path) -> None:
    """Their log is off, so an invalid GPU name must fail: the error shows that they use the device."""
    (work / "no_cases.json").write_text("[]")
    with pytest.raises(EngineError, match="invalid literal for int.*'none'"):
        OursOnGPU("none").python(HERE / "run_cases.py", ["no_cases.json", "none.npz"], work)
