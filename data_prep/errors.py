"""Ends the commands of this package: an error is one line with its cause and remedy, and exit code 1."""

import sys
from collections.abc import Callable

from harness.errors import UserError


class BadImage(UserError):
    """One image file cannot be used; a build may leave out a few of these."""


def exit_status(command: Callable[[], None]) -> int:
    """Run ``command``; return 0, 1 after an error that the user can fix, or 130 after Ctrl-C."""
    try:
        command()
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was kept under the final name", file=sys.stderr)
        return 130
    return 0
