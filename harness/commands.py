"""How the experiment's commands end: `if __name__ == "__main__": commands.run(main)`.

Each command reports by itself what the user can put right. Any other error is a fault of the program, and one
paragraph says so. CAFFE_TRACEBACK=1 in the environment shows its traceback, as for the caffe command.

A command that the user stops with Ctrl-C ends with status 130. Under make it ends with 0, and make, which the same
Ctrl-C has reached, ends as interrupted: otherwise make adds "*** [Makefile:84: lmdb] Error 130".
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

STOPPED = 130
_STOPS = (STOPPED, 143)  # 143: at a second Ctrl-C, which ends Caffe at once


def run(main: Callable[[], int | str | None]) -> None:
    """Run a command and exit with its status; a string is its error."""
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = _say_stopped()
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except Exception as error:
        if os.environ.get("CAFFE_TRACEBACK"):
            raise
        status = _told(error)
    sys.exit(after_a_stop(status) if status in _STOPS else status)


def after_a_stop(status: int = STOPPED) -> int:
    """The exit status of a command that the user has stopped; make, where it started us, is then stopped too."""
    make = os.getppid()
    if "MAKELEVEL" in os.environ and _name(make) in ("make", "gmake"):
        os.kill(make, signal.SIGINT)  # make does not see a signal to this process alone, and would continue
        return 0
    return status


def wait_for(command: Sequence[str], **options: object) -> tuple[int, bool]:
    """Run a command to its end: its exit status, and whether it was asked to stop.

    It has a process group of its own: a Ctrl-C reaches this process alone, which passes it on once and waits.

    Args:
        options: Popen's.
    """
    asked: list[int] = []
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, **options)

    def pass_on(number: int, _frame: object) -> None:
        asked.append(number)
        child.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return child.wait(), bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _name(process: int) -> str:
    """A process's name; "" where /proc does not say."""
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def _say_stopped() -> int:
    # On a terminal after the ^C, and after a bar that is not full.
    print("\nstopped" if sys.stderr.isatty() else "stopped", file=sys.stderr, flush=True)
    return STOPPED


def _interrupted(kind: type, error: BaseException, trace: object) -> None:
    """Python's hook for an error that nothing catches. A Ctrl-C during the imports gets its line too."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _say_stopped()
    os._exit(after_a_stop())


sys.excepthook = _interrupted


def number(text: str) -> int | None:
    """The type of an option that Make passes on though it was not given: a number, or nothing."""
    try:
        return int(text) if text else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def switch(text: str) -> bool | None:
    """The type of an option that Make passes on though it was not given: 1, 0, or nothing."""
    if text not in ("", "0", "1"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 1 nor 0")
    return text == "1" if text else None


def _told(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parents[1])]
    place = (ours or frames)[-1]
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"error: {what} ({Path(place.filename).name}:{place.lineno}). This is a fault of the program and not of what "
        f"you typed; the same command with CAFFE_TRACEBACK=1 before it shows how it came about."
    )
