"""One line that says what real Caffe was in this run.

Here and not in conformance/: with several processes, only the first conftest is read by the one that reports.
"""

import os
from pathlib import Path

import pytest

from tests.conformance.engines import REAL
from tests.training import tiny_run

ROOT = Path(__file__).parents[1]

# `make test-quick` runs these in less than a minute: arithmetic, files and curves, without processes.
QUICK = ("engine/files", "engine/layers", "engine/solver")
QUICK_FILES = ("test_curves.py", "test_falling.py", "test_edits.py", "test_check_values.py")
SLOW_FILES = ("test_window.py",)  # each of its cases runs in a process of its own


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reason = REAL.why_not()
    if reason is None:
        terminalreporter.write_line(f"real Caffe: live ({REAL.version()})")
    else:
        terminalreporter.write_line(f"real Caffe: {reason}; recorded values are used")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path
        folder = path.parent.relative_to(ROOT / "tests").as_posix()
        if path.name in QUICK_FILES or (folder in QUICK and path.name not in SLOW_FILES):
            item.add_marker("quick")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working folder of tiny_run, where the test is."""
    tiny_run.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "engine"), str(ROOT)]))
    return tmp_path
