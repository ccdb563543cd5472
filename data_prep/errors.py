"""How the commands of this package fail: one line that says what, where and what to do, and exit status 1."""

import sys
from collections.abc import Callable

from harness.errors import UserError


class BadImage(UserError):
    """One image file cannot be used; a build may leave out a few of these."""


def exit_status(command: Callable[[], None]) -> int:
    """Run ``command``; return 0, 1 after an error a person can act on, or 130 after Ctrl-C."""
    try:
        command()
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was kept under the final name", file=sys.stderr)
        return 130
    return 0
