"""How the experiment's commands end: `if __name__ == "__main__": commands.run(main)`.

What a person can put right is said by each command itself. All else, which is a fault of the program, is one
paragraph too: a traceback is shown with CAFFE_TRACEBACK=1 in the environment, as by the caffe command.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def run(main: Callable[[], int | str | None]) -> None:
    """Run a command and exit with its status; a string is its error."""
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except Exception as error:
        if os.environ.get("CAFFE_TRACEBACK"):
            raise
        status = _told(error)
    sys.exit(status)


def _told(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parent)]
    place = (ours or frames)[-1]
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"error: {what} ({Path(place.filename).name}:{place.lineno}). This is a fault of the program and not of what "
        f"you typed; the same command with CAFFE_TRACEBACK=1 before it shows how it came about."
    )
