"""Caffe as a child process: a log and a Watch get its output, and a Ctrl-C reaches it once."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from training.watch import Watch

TICK_S = 0.5
_FASTEST_TICK_S = 0.1
# At SIGINT Caffe takes a snapshot and stops. At SIGHUP it takes one and continues. SIGTERM kills real Caffe.
STOPS = (signal.SIGINT, signal.SIGTERM)
ENDED_AT_ONCE = (130, 143)  # exit codes of a Caffe that a signal ended without a snapshot
_ONE_REQUEST_S = 0.2  # make and the shell may each send the signal of one request


def run(command: Sequence[str], log: Path, lock: int, watch: Watch, environment: Mapping[str, str]) -> int:
    """Run Caffe to its end and return its exit code, or 128 + n if signal n ended it.

    A first SIGINT or SIGTERM asks Caffe to stop with a snapshot. A second ends it at once. A third kills it.
    Caffe gets a process group of its own. A Ctrl-C then reaches this process alone, which passes it on once and
    waits. Caffe inherits `lock`, an open file. The run folder thus stays locked while Caffe lives, even if this
    process dies.
    """
    signals = _Signals()
    previous = {number: signal.signal(number, signals.take) for number in (*STOPS, signal.SIGHUP)}
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            pass_fds=(lock,),
        )
        with child, log.open("a+b", buffering=0) as file:
            signals.to(child)
            _follow(child.stdout.fileno(), _Log(file, watch), watch, signals)
            status = child.wait()
        watch.close()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


class _Signals:
    """Passes requested signals on to the child, including those that came before there was one."""

    def __init__(self):
        self.stops = 0  # the number of stop requests
        self._last = 0.0
        self._early: list[int] = []
        self._child: subprocess.Popen | None = None

    def take(self, number: int, _frame: object) -> None:
        if number in STOPS:
            now = time.monotonic()
            if self.stops and now - self._last < _ONE_REQUEST_S:
                return
            self._last, self.stops = now, self.stops + 1
            number = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[min(self.stops, 3) - 1]
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)

    def to(self, child: subprocess.Popen) -> None:
        self._child = child
        for number in self._early:
            child.send_signal(number)


class _Log:
    """The log file. If it cannot be written (a full disk), training continues, and each write is tried again."""

    def __init__(self, file: BinaryIO, watch: Watch):
        self._file, self._watch, self._failed = file, watch, False
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        self._broken = file.read(1) not in (b"", b"\n")  # a crash cut the last line

    def write(self, chunk: bytes) -> None:
        rest = memoryview(b"\n" + chunk if self._broken else chunk)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self._failed, self._broken = False, False
        except OSError as error:
            self._broken = True
            if not self._failed:
                self._failed = True
                self._watch.say(
                    f"training.run: {self._file.name}: {error.strerror}; what Caffe says is lost until it can be"
                )


def _follow(source: int, log: _Log, watch: Watch, signals: _Signals) -> None:
    """Pass Caffe's output on until Caffe closes it."""
    told, ticked, chunk = 0, 0.0, b" "
    while chunk:
        if select.select([source], [], [], TICK_S)[0]:
            chunk = os.read(source, 1 << 16)
            log.write(chunk)
            watch.feed(chunk)
        if signals.stops > told:
            told = signals.stops
            watch.stopping(told)
        if time.monotonic() - ticked > _FASTEST_TICK_S:
            watch.tick()
            ticked = time.monotonic()
