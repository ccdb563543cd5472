"""Follows a training while it runs: its curves, the screen, TensorBoard.

Caffe's output arrives in pieces. Nothing here may stop a training. If a part fails, it is skipped and reported
once.
"""

import os
import sys
from pathlib import Path

from harness.errors import UserError
from training import caffe_log, journal
from training.curves import Curves, read
from training.keep import Keep
from training.live_line import LiveLine
from training.tensorboard_events import EventFile
from training.terminal import Terminal, is_terminal
from training.training_set import training_set

_STOPPING = (
    "training.run: stopping with a snapshot, after this iteration; Ctrl-C again ends Caffe at once, without one",
    "training.run: ending Caffe at once",
    "training.run: killing Caffe",
)


class Watch:
    """Follows one run of Caffe.

    Args:
        curves: the curves of earlier runs, which this run extends.
        live: the live line. If standard error is no terminal, it is None and Caffe's output is echoed.

    Attributes:
        keep: removes snapshots that need not stay, None if all stay.
        fatal: Caffe's last words if it failed, otherwise "".
    """

    def __init__(self, curves: Curves, live: LiveLine | None = None):
        self._curves, self._live = curves, live
        self.keep: Keep | None = None
        self.fatal = ""
        self._events: EventFile | None = None
        self._rest = b""
        self._deaf = False  # True if standard error is closed

    def record(self, events: EventFile) -> None:
        """Write TensorBoard's file too, with the existing points and the coming ones."""
        self._events = events
        self._write_events()

    def feed(self, chunk: bytes) -> None:
        """Take in a piece of Caffe's output."""
        if self._live is None:
            self._echo(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace").rstrip("\r"))

    def tick(self) -> None:
        """Update the screen and the snapshots; call this regularly."""
        if self._live:
            self._live.tick(self._curves)
        if self.keep:
            self.keep.tick()

    def say(self, line: str) -> None:
        """Print a line of the runner's own."""
        if self._live:
            self._live.say(line)
        else:
            self._echo(f"{line}\n".encode())

    def stopping(self, times: int) -> None:
        """Caffe was asked to stop, for the first time or again."""
        self.say(_STOPPING[min(times, len(_STOPPING)) - 1])
        if self._live:
            self._live.stopping()

    def close(self) -> None:
        """Finish, as Caffe has ended."""
        if self._rest:
            self.feed(b"\n")
        if self._live:
            self._live.close(self._curves)
        if self.keep:
            self.keep.prune()
        self._write_events(last=True)

    def _line(self, line: str) -> None:
        event = self._curves.add(line)
        if line.startswith("F") and (found := caffe_log.PREFIX.match(line)):
            self.fatal = found[4].strip().rstrip(".")
        if self._live:
            self._live.line(line, event, self._curves)
        if event:
            self._write_events()

    def _write_events(self, last: bool = False) -> None:
        if self._events is None:
            return
        try:
            self._events.add(self._curves, last)
        except OSError as error:
            self._events.give_up()
            self._events = None
            self.say(f"TensorBoard's events are not written from here on: {error}")

    def _echo(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest and not self._deaf:
                rest = rest[os.write(sys.stderr.fileno(), rest) :]
        except OSError:  # a terminal that was closed, a full disk
            self._deaf = True


def of_run(name: str, solver, folder: Path, start: int, keep: int | None = None) -> Watch:
    """A Watch of a run that begins at an iteration; the journal has its start already.

    ``keep``: the number of last snapshots that stay, besides the best one. All stay by default.
    """
    curves, images = read(folder), training_set(solver)
    curves.forget(start)
    live = LiveLine(Terminal(sys.stderr.fileno()), name, solver.max_iter, images) if is_terminal(2) else None
    watch, runs = Watch(curves, live), journal.read(folder)
    if keep:
        watch.keep = Keep(solver.snapshot_prefix, keep, curves, watch.say)
        watch.keep.prune()
    try:
        watch.record(EventFile(folder, images, journal.edits(runs)))
    except ImportError:
        watch.say("training.run: no TensorBoard events are written: tensorboard is not installed (make setup does)")
    except (OSError, UserError) as error:
        watch.say(f"training.run: no TensorBoard events are written: {error}")
    return watch
