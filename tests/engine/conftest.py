"""Every test starts from the same random state and leaves Caffe's log as it found it."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from caffe import _rng

# The arrays are tiny: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    _rng.set_random_seed(1701)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1701)


class _Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """The messages that Caffe logs during the test, whatever GLOG_minloglevel says."""
    handler, logger = _Lines(), logging.getLogger("caffe")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)
