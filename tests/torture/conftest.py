"""The torture kills and resumes whole runs: its tests take longer than others before they count as hanging."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "torture" in item.path.parts:
            item.add_marker(pytest.mark.timeout(3600))
