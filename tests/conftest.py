"""One line that says what real Caffe was in this run.

Here and not in conformance/: with several processes, only the first conftest is read by the one that reports.
"""

import pytest

from tests.conformance.engines import REAL


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reason = REAL.why_not()
    if reason is None:
        terminalreporter.write_line(f"real Caffe: live ({REAL.version()})")
    else:
        terminalreporter.write_line(f"real Caffe: {reason}; recorded values are used")
