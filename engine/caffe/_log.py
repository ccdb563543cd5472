"""Log lines in glog's format, because users' scripts and BVLC's parse_log.py read them.

A line is ``I1123 16:02:29.668105 31173 _solver/solver.py:239] message``: severity, month and day, time,
thread, place, message. Lines go to standard error by default. The flags of glog and its variables
``GLOG_NAME`` choose the lines to keep, their prefix, and files in ``--log_dir`` (_log_flags.py).
"""

import errno
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from caffe import _log_flags
from caffe._log_files import LogFiles

SEVERITIES = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
_LETTERS = {level: letter for letter, level in SEVERITIES.items()}
_LEVELS = list(SEVERITIES.values())
_COLORS = {logging.WARNING: "\033[0;33m", logging.ERROR: "\033[0;31m", logging.CRITICAL: "\033[0;31m"}

logger = logging.getLogger("caffe")


class GlogFormatter(logging.Formatter):
    """Formats a record as glog does; messages of several lines stay as they are.

    As in glog, a message that ends in a line break gets no empty line: BVLC's parse_log.py would stop there.

    Args:
        whose: text before each message.
        prefix: False leaves out everything before the message.
    """

    def __init__(self, whose: str = "", prefix: bool = True):
        super().__init__()
        self._whose, self._prefix = whose, prefix

    def format(self, record: logging.LogRecord) -> str:
        message = self._whose + record.getMessage().removesuffix("\n")
        if not self._prefix:
            return message
        when = datetime.fromtimestamp(record.created).strftime("%m%d %H:%M:%S.%f")
        letter = _LETTERS.get(record.levelno, "I")
        return f"{letter}{when} {threading.get_native_id():5d} {record.filename}:{record.lineno}] {message}"

    def of_worker(self, rank: int) -> "GlogFormatter":
        """A copy of this formatter that begins each message with the worker's number."""
        return GlogFormatter(f"Worker {rank}: ", self._prefix)


class _Destinations(logging.Handler):
    """Writes each line to standard error, to glog's files, or to both.

    A line that cannot be written to the files goes to standard error, so that none is lost. Standard
    error is the current sys.stderr, so redirections work.

    Attributes:
        threshold: standard error gets lines of this level and of higher ones.
        files: the log files, or None.
        colors: True colors warnings and errors if standard error is a terminal.
    """

    def __init__(self):
        super().__init__()
        self.threshold, self.colors = logging.INFO, False
        self.files: LogFiles | None = None
        self._failed = False

    def send_to(self, files: LogFiles | None, threshold: int, colors: bool) -> None:
        """Change the lines' destinations."""
        with self.lock:
            self.close_files()
            self.files, self.threshold, self.colors, self._failed = files, threshold, colors, False

    def close_files(self) -> None:
        if self.files:
            self.files.close()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            if not (self.files and self._is_filed(record, line)) or record.levelno >= self.threshold:
                color = _COLORS.get(record.levelno) if self.colors and _is_color_terminal() else None
                sys.stderr.write(f"{color}{line}\033[m" if color else line)
                sys.stderr.flush()
        except Exception:
            self.handleError(record)

    def _is_filed(self, record: logging.LogRecord, line: str) -> bool:
        level = sum(record.levelno >= each for each in _LEVELS[1:])
        try:
            self.files.write(level, line.encode(errors="backslashreplace"))
        except OSError as error:
            if not self._failed:
                self._failed = True  # before the warning, which takes this path too
                remedy = f" (mkdir -p {self.files.directory} makes it)" if error.errno == errno.ENOENT else ""
                logger.warning(
                    "--log_dir=%s (or GLOG_log_dir): %s%s. Lines go to standard error until the file can be written.",
                    self.files.directory, error.strerror, remedy,
                )  # fmt: skip
            return False
        return True


def _is_color_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


_handler = _Destinations()


def start(flags: Mapping[str, Any], program: str = "") -> None:
    """Log as glog's flags say.

    Args:
        flags: a value for each of LOG_FLAGS.
        program: first word of the log files' names; '' writes no files, as glog before its log is started.
    """
    # A failing command's last line says why, so no flag removes it.
    lowest, threshold = (_LEVELS[min(max(flags[name], 0), 3)] for name in ("minloglevel", "stderrthreshold"))
    on_stderr = flags["logtostderr"] or not program
    if on_stderr or flags["alsologtostderr"]:
        threshold = logging.INFO
    # Lines kept from standard error go to a file, as with real Caffe; otherwise they would be lost.
    directory = flags["log_dir"] or (tempfile.gettempdir() if threshold > logging.INFO else "")
    files = None
    if directory and not on_stderr:
        files = LogFiles(directory, program, flags["logfile_mode"], flags["max_log_size"], flags["log_link"])
    _handler.send_to(files, threshold, flags["colorlogtostderr"])
    _handler.setFormatter(GlogFormatter(prefix=flags["log_prefix"]))
    logger.setLevel(lowest)
    logger.propagate = False
    if _handler not in logger.handlers:
        logger.addHandler(_handler)


def init_log(level: int | None = None, stderr: bool | None = None) -> None:
    """Start logging, as pycaffe's init_log.

    Args:
        level: 0 INFO, 1 WARNING, 2 ERROR; the default is GLOG_minloglevel's value, or 0.
        stderr: True logs to standard error alone. False logs to files, and errors to standard error too.
            The default is files if GLOG_log_dir names a folder, otherwise standard error.
    """
    flags, _ = _log_flags.from_environment(os.environ)
    if level is not None:
        flags["minloglevel"] = level
    if stderr is not None:
        flags["logtostderr"] = stderr
    elif not flags["log_dir"]:
        flags["logtostderr"] = True
    start(flags, "caffe")


def of_worker(rank: int) -> None:
    """Let worker 0 log everything; the others log only errors, with their number."""
    if rank > 0:
        logger.setLevel(max(logger.level, logging.ERROR))
        _handler.setFormatter(_handler.formatter.of_worker(rank))
        if _handler.files:
            _handler.files.links = False


def log(message: str) -> None:
    """Write one INFO line, as pycaffe's log."""
    logger.info("%s", message, stacklevel=2)


def _begin() -> None:
    """Log to standard error from the import on; a bad variable must not end a script that imports caffe."""
    flags, complaints = _log_flags.from_environment(os.environ)
    start(flags)
    for complaint in complaints:
        logger.warning("%s", complaint)


_begin()
