"""Every test starts from the same random state, whatever the tests before it set for the whole process."""

import logging
import socket
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from caffe._device import random_numbers
from caffe._layers import python

from tests.engine.command import environment
from tests.engine.worker_processes import Forker

# The arrays are tiny: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    random_numbers.set_random_seed(1701)


@pytest.fixture(autouse=True)
def python_layers_allowed(monkeypatch) -> None:
    """As in pycaffe; the ``caffe`` command, called in this process, forbids them for all that follows."""
    monkeypatch.setattr(python, "allowed", True)


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
def log_lines(monkeypatch) -> Iterator[list[str]]:
    """The messages that Caffe logs during the test, whatever GLOG_minloglevel says."""
    monkeypatch.delenv("GLOG_minloglevel", raising=False)  # a command reads it when it starts its log
    handler, logger = _Lines(), logging.getLogger("caffe")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(scope="module")
def forker():
    forker = Forker(environment())
    yield forker
    forker.close()


@pytest.fixture
def port() -> str:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def train(forker, port):
    """Start as many workers as there are command lines."""

    def start(folder, *commands, **variables):
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
        return forker.start(folder, *commands, **(place | variables))

    return start
