"""Runs the steps, one or several at a time. A stop request reaches each training, which takes a snapshot."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness import provenance
from harness.duration import duration
from reproduce.speed import STEPS
from reproduce.steps import Step

_TICK_S = 0.2
_TOLD_EVERY_S = 60.0
LOGS = Path("log")


@dataclass
class Running:
    """A step that is under way."""

    step: Step
    process: subprocess.Popen
    device: str
    begun: float


class Runner:
    """Runs the unfinished steps.

    Args:
        places: a value of caffe's --gpu for each step that runs at once. A single step has the terminal. The output of
            several goes to log/.
        seconds: the time after which all are asked to stop and no step is started, None for no limit.
        say: prints a line for the user.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        say: Callable[[str], None],
        places: Sequence[str] = ("",),
        seconds: float | None = None,
    ):
        self._steps, self._say, self._free = steps, say, list(places)
        self._jobs, self._devices = len(places), len(set(places))
        self._named = {step.name: step for step in steps}
        self._end = None if seconds is None else time.monotonic() + seconds
        self._running: list[Running] = []
        self._failed: dict[str, str] = {}
        self._done = {step.name for step in steps if step.done()}
        # A step that reports on unfinished steps is checked again after them.
        self._done -= {step.name for step in steps if any(map(self._comes, step.after))}
        self._signals = 0
        self.stopping: str | None = None  # the reason for a stop

    def run(self) -> int:
        """Run until all steps are done or none can start. Returns 0 if all are done, 130 after a stop, 1 after a
        failure.
        """
        previous = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        told = time.monotonic()
        try:
            while self._start() or self._running:
                time.sleep(_TICK_S)
                self._finish()
                if self._end is not None and time.monotonic() > self._end and not self.stopping:
                    self._stop("the time limit is reached")
                if self._jobs > 1 and time.monotonic() - told > _TOLD_EVERY_S:
                    told = time.monotonic()
                    self._say("  ".join(f"{one.step.name}: {one.step.told() or 'runs'}" for one in self._running))
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        for name, why in self._failed.items():
            self._say(f"{name}: {why}")
        if self._signals:
            return 130
        return 1 if self._failed and not self.stopping else 0

    @property
    def done(self) -> bool:
        return all(step.name in self._done for step in self._steps)

    def _start(self) -> bool:
        """Start the steps that can run, and return True if there was any."""
        started = False
        for number, step in enumerate(self._steps, 1):
            if self.stopping or not self._free:
                break
            if step.name in self._done | self._failed.keys() | {one.step.name for one in self._running}:
                continue
            if any(need in self._named and need not in self._done for need in step.needs):
                continue
            if any(map(self._comes, step.after)):
                continue
            if step.lacks:
                self._failed[step.name] = f"{step.lacks} is missing; make setup installs it"
                continue
            # Earlier steps may have changed its inputs, or have made its output.
            if step.done():
                self._done.add(step.name)
                started = True
                continue
            self._begin(step, number)
            started = True
        return started

    def _comes(self, name: str) -> bool:
        """True if a step may still run: it is neither left out nor done, and no failure prevents it."""
        if name not in self._named or name in self._done | self._failed.keys():
            return False
        needs = [need for need in self._named[name].needs if need in self._named and need not in self._done]
        return all(map(self._comes, needs))

    def _begin(self, step: Step, number: int) -> None:
        # Take the device with the fewest steps, so that no GPU is idle while another has two.
        device = min(self._free, key=lambda each: sum(one.device == each for one in self._running))
        self._free.remove(device)
        left, on = step.left(), f"on GPU {device}" if step.takes_gpu and self._devices > 1 else ""
        about = [part for part in (step.told(), left and f"about {duration(left.seconds)}", on) if part]
        title = f"==== {number} of {len(self._steps)}: {step.name}"
        self._say(f"{title} ({', '.join(about)})" if about else title)
        output = {}
        if self._jobs > 1:
            LOGS.mkdir(exist_ok=True)
            file = (LOGS / f"{step.name.replace(' ', '-')}.log").open("a")
            output = {"stdout": file, "stderr": subprocess.STDOUT}
        # Each step has its own process group: a Ctrl-C reaches this process alone, which passes it on.
        process = subprocess.Popen(
            step.words(device), cwd=step.folder, stdin=subprocess.DEVNULL, process_group=0, **output
        )
        if output:
            file.close()
        self._running.append(Running(step, process, device, time.monotonic()))
        _note(step=step.name, event="start", command=step.command_on(device), commit=provenance.commit())

    def _finish(self) -> None:
        for one in [one for one in self._running if one.process.poll() is not None]:
            self._running.remove(one)
            self._free.append(one.device)
            status, seconds = one.process.returncode, time.monotonic() - one.begun
            _note(step=one.step.name, event="end", status=status, seconds=round(seconds, 1))
            if one.step.done():
                self._done.add(one.step.name)
            elif not self.stopping and status in (130, 143, -signal.SIGINT, -signal.SIGTERM):
                self._stop(f"{one.step.name} was stopped")  # stopped by another process or user
            elif not self.stopping:
                said = f"; see {LOGS / one.step.name.replace(' ', '-')}.log" if self._jobs > 1 else ""
                ended = f"failed with status {status}" if status else "ended, but what it makes is not there"
                self._failed[one.step.name] = f"{ended}{said}"
                self._say(f"{one.step.name}: {self._failed[one.step.name]}")

    def _take(self, number: int, _frame: object) -> None:
        self._signals += 1
        self._stop("asked to stop", number)

    def _stop(self, why: str, number: int = signal.SIGINT) -> None:
        self.stopping = self.stopping or why
        for one in self._running:
            if one.process.poll() is None:
                one.process.send_signal(number)

    def __str__(self) -> str:
        return f"{len(self._done)} of {len(self._steps)} steps are done"


def _note(**entry: object) -> None:
    """Append a line to the log of steps."""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **entry}) + "\n"
    with open(STEPS, "a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read())[1] != b"\n":
            line = "\n" + line  # a new line after one that a crash cut
        file.write(line.encode())
