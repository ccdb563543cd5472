"""Trains tries, several at once if there are several places. The working folder is the exploration's.

Each try is `training.run` in its own process group. A Ctrl-C reaches this process alone, which passes it on once,
and each try stops with a snapshot. If this process is killed, its tries continue, and the next runner waits for them.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from first_pass.tries import Try
from harness.provenance import ROOT
from training import curves, journal, running
from training.snapshots import snapshots
from training.terminal import Terminal, is_terminal

_TICK_S = 0.2
_LOOK_S = 3.0  # time between two looks at the curves
LOGS = Path("log")
STOPPED = 130


@dataclass
class _Training:
    """A try under way; `process` is None if a killed exploration started it."""

    one: Try
    device: str
    process: subprocess.Popen | None
    pid: int

    def status(self) -> int | None:
        """Its exit code, None while it trains. For a try of another exploration it is 0."""
        if self.process is not None:
            return self.process.poll()
        return None if running.process(self.one.run) is not None else 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)


class Runner:
    """Trains the unfinished tries.

    Args:
        places: a value of caffe's --gpu for each try that is trained at a time.
        caffe: the command, by an absolute path or a name.
        environment: a try's variables in addition to this process's.
        say: prints a line for the user.
    """

    def __init__(
        self,
        tries: Sequence[Try],
        places: Sequence[str],
        caffe: str,
        environment: Mapping[str, str],
        say: Callable[[str], None],
    ):
        self._tries, self._caffe, self._say = tries, caffe, say
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self._environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._environment.pop("MAKELEVEL", None)  # commands that training.run prints for make do not apply here
        self._free, self._training = list(places), []
        self._waiting = [one for one in tries if one.reached() < one.until]
        self.failed: dict[str, str] = {}
        self._stops = 0

    def run(self) -> int:
        """Run until all are trained or a stop is requested. Returns 0, 1 if a try failed, or STOPPED."""
        handlers = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        live = Terminal(sys.stderr.fileno()) if is_terminal(2) else None
        looked = told = 0.0
        try:
            while self._training or (self._waiting and not self._stops):
                self._begin()
                now = time.monotonic()
                if now - looked > _LOOK_S and (live or now - told > 20 * _LOOK_S):
                    looked = told = now
                    shown = "  |  ".join(_shown(training.one) for training in self._training)
                    live.draw([("", shown)]) if live else self._say(shown)
                time.sleep(_TICK_S)
                for training in list(self._training):
                    if (status := training.status()) is not None:
                        if live:
                            live.clear()
                        self._end(training, status)
        finally:
            if live:
                live.clear()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._stops:
            return STOPPED
        return 1 if self.failed else 0

    def _begin(self) -> None:
        while self._free and self._waiting and not self._stops:
            one = self._waiting.pop(0)
            holder = running.process(one.run)
            device = self._place_of(one) if holder is not None else self._free.pop(0)
            if holder is not None:
                self._say(f"{one}: process {holder} still trains it, of an exploration that was killed; waiting for it")
                self._training.append(_Training(one, device, None, holder))
                continue
            reached = one.reached()
            if not reached and snapshots(one.prefix):
                one.remove_broken()
            where = f"GPU {device}" if device else "the CPU"
            self._say(f"{one}: {f'on from iteration {reached} ' if reached else ''}to {one.until}, on {where}")
            LOGS.mkdir(exist_ok=True)
            with (LOGS / f"{one.name}.log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "training.run", "resume" if reached else "train", one.name,
                     "--caffe", self._caffe, "--gpu", device, "--keep", "1", "--go-on=the same make explore"],
                    env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, process_group=0,
                )  # fmt: skip
            self._training.append(_Training(one, device, process, process.pid))

    def _place_of(self, one: Try) -> str:
        """Take the free place on the GPU where another exploration trains this try, otherwise the first."""
        runs = journal.read(one.run)
        words = runs[-1].get("command", []) if runs else []
        gpu = next((str(word).partition("=")[2] for word in words if str(word).startswith("--gpu=")), "")
        self._free.remove(device := gpu if gpu in self._free else self._free[0])
        return device

    def _end(self, training: _Training, status: int) -> None:
        self._training.remove(training)
        self._free.append(training.device)
        one, reached = training.one, training.one.reached()
        if reached >= one.until:
            self._say(f"{one}: finished, {_shown(one).partition(': ')[2]}")
        elif self._stops:
            self._say(f"{one}: stopped, its newest snapshot is of iteration {reached}")
        elif training.process is None:
            self._waiting.insert(0, one)  # the try resumes here after any end
        else:
            why = "was stopped by someone else" if status in (0, STOPPED) else _last_error(one) or f"status {status}"
            self.failed[one.name] = why
            self._say(f"{one}: {why} (runs/explore/{LOGS / one.name}.log)")

    def _take(self, _number: int, _frame: object) -> None:
        self._stops += 1
        for training in self._training:
            training.stop()


def _last_error(one: Try) -> str | None:
    """The last error in the log of a try's training.run."""
    try:
        lines = (LOGS / f"{one.name}.log").read_text(errors="replace").splitlines()
    except OSError:
        return None
    said = [line.partition("training.run: ")[2] for line in lines if line.startswith("training.run: ")]
    errors = [line for line in said if line.startswith(("error: ", "caffe failed"))]
    return errors[-1] if errors else None


def _shown(one: Try) -> str:
    """A line such as "nin1 at 0.01: epoch 1.20 of 3, loss 4.71, val 0.0310"."""
    seen = curves.read(one.run)
    parts = [f"epoch {seen.iteration / one.epoch:.2f} of {one.until // one.epoch}"]
    if seen.displayed:
        parts.append(f"loss {seen.displayed[-1].loss:.3f}")
    if seen.series("accuracy"):
        parts.append(f"val {seen.series('accuracy')[-1][1]:.4f}")
    return f"{one}: {', '.join(parts)}"
