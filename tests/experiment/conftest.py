"""What several tests of the experiment start from."""

import os
from pathlib import Path

import pytest

from tests.experiment import tiny_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working folder of tiny_run, where the test is."""
    tiny_run.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "engine"), str(ROOT)]))
    return tmp_path
