"""Caffe as a child process: its words go to a log and to the terminal, and a Ctrl-C reaches it once."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# Caffe stops with a snapshot at SIGINT, takes one and goes on at SIGHUP, and does not handle SIGTERM.
FORWARDED = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGINT, signal.SIGHUP: signal.SIGHUP}


def run(command: Sequence[str], log: Path, lock: int) -> int:
    """Run Caffe to its end and return its exit status, 128 + n where signal n ended it.

    Caffe gets a process group of its own: a Ctrl-C then reaches this process alone, which passes it on
    once (a second SIGINT may end Caffe before its snapshot) and waits. Caffe inherits `lock`, an open file,
    so that its run folder stays locked for as long as it lives, whatever becomes of this process.
    """
    child: subprocess.Popen | None = None
    early: list[int] = []

    def forward(number: int, _frame: object) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(FORWARDED[signal.Signals(number)])

    previous = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            pass_fds=(lock,),
        )
        with child, log.open("ab", buffering=0) as file:
            for number in early:
                forward(number, None)
            _tee(child.stdout.fileno(), [file.fileno(), sys.stderr.fileno()])
            status = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _tee(source: int, sinks: list[int]) -> None:
    """Copy until the source ends. A sink that fails (full disk, lost terminal) is dropped; Caffe goes on."""
    while chunk := os.read(source, 1 << 16):
        for sink in list(sinks):
            rest = memoryview(chunk)
            try:
                while rest:
                    rest = rest[os.write(sink, rest) :]
            except OSError:
                sinks.remove(sink)
