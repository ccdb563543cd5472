"""Log lines as glog writes them, because people's scripts and BVLC's parse_log.py read them.

A line is ``I1123 16:02:29.668105 31173 _solver.py:239] message``: severity, month and day, time,
thread, place, message. As with Caffe, lines go to standard error and the environment variable
``GLOG_minloglevel`` (0 INFO, 1 WARNING, 2 ERROR) silences the lower ones.
"""

import logging
import os
import sys
import threading
from datetime import datetime

SEVERITIES = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
_LETTERS = {level: letter for letter, level in SEVERITIES.items()}

logger = logging.getLogger("caffe")


class GlogFormatter(logging.Formatter):
    """Formats a record as glog does; messages of several lines are left as they are.

    As in glog a message that ends its last line itself gets no empty one: at that BVLC's parse_log.py ends.

    Args:
        whose: stands before each message.
    """

    def __init__(self, whose: str = ""):
        super().__init__()
        self._whose = whose

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).strftime("%m%d %H:%M:%S.%f")
        letter = _LETTERS.get(record.levelno, "I")
        thread = threading.get_native_id()
        message = record.getMessage().removesuffix("\n")
        return f"{letter}{when} {thread:5d} {record.filename}:{record.lineno}] {self._whose}{message}"


class _StandardError(logging.StreamHandler):
    """Writes to whatever sys.stderr is at the moment, so that redirections are followed."""

    @property
    def stream(self):
        return sys.stderr

    @stream.setter
    def stream(self, _):
        pass


def init_log(level: int | None = None, stderr: bool = True) -> None:
    """Start logging, as pycaffe's init_log.

    Args:
        level: 0 INFO, 1 WARNING, 2 ERROR; by default what GLOG_minloglevel says, else 0.
        stderr: False keeps the lines from standard error.
    """
    if level is None:
        level = int(os.environ.get("GLOG_minloglevel", 0))
    logger.setLevel([logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL][min(level, 3)])
    logger.propagate = False
    logger.handlers.clear()
    handler = _StandardError() if stderr else logging.NullHandler()
    handler.setFormatter(GlogFormatter())
    logger.addHandler(handler)


def of_worker(rank: int) -> None:
    """Let worker 0 of several log as one alone does, and the others errors only, which say whose they are."""
    if rank > 0:
        logger.setLevel(max(logger.level, logging.ERROR))
        for handler in logger.handlers:
            handler.setFormatter(GlogFormatter(f"Worker {rank}: "))


def log(message: str) -> None:
    """Write one INFO line, as pycaffe's log."""
    logger.info("%s", message, stacklevel=2)


init_log()
