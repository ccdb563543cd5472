"""One line that says what real Caffe was in this run.

Here and not in conformance/: with several processes, only the first conftest is read by the one that reports.
"""

import os
from pathlib import Path

import pytest

from tests.conformance.engines import REAL
from tests.training import tiny_run

ROOT = Path(__file__).parents[1]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reason = REAL.why_not()
    if reason is None:
        terminalreporter.write_line(f"real Caffe: live ({REAL.version()})")
    else:
        terminalreporter.write_line(f"real Caffe: {reason}; recorded values are used")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working folder of tiny_run, where the test is."""
    tiny_run.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "engine"), str(ROOT)]))
    return tmp_path
