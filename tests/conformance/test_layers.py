"""Every layer case in cases/: our values and gradients beside real Caffe's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .cases import BY_NAME, CASES, NOT_YET
from .compare import array_differences
from .engines import OURS
from .reference import Reference, run_layers


@pytest.fixture(scope="session")
def our_layers(work: Path) -> dict[str, np.ndarray]:
    return run_layers(OURS, work, CASES)


def of_case(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in arrays.items() if key.startswith(name + "|")}


@pytest.mark.parametrize("name", BY_NAME)
def test_layer(name: str, our_layers: dict[str, np.ndarray], reference: Reference) -> None:
    ours, real = of_case(our_layers, name), of_case(reference.layers, name)
    assert real, f"no reference for {name}: run `make record` where real Caffe is installed"
    if name in NOT_YET:
        assert f"{name}|error" in ours, f"{name} runs now: take it out of NOT_YET in cases/"
        pytest.xfail(str(ours[f"{name}|error"]))
    assert f"{name}|error" not in ours, str(ours[f"{name}|error"])
    assert array_differences(ours, real) == []


def test_every_layer_type_of_ours_has_a_case(work: Path) -> None:
    program = [*OURS.interpreter(work), "-c", "import caffe; print(*caffe.layer_type_list())"]
    assert sorted(set(OURS.checked(program, work).split()) - {case.type for case in CASES}) == []
