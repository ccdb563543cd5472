"""Run the tests as pytest does, and end quietly at a Ctrl-C.

    python -m tests [pytest's options]                         (make test)

At a Ctrl-C, each of pytest's workers would print its traceback. Here only pytest itself gets it, and ends them.
"""

import sys

from harness import commands


def main() -> int:
    status, stopped = commands.wait_for([sys.executable, "-m", "pytest", *sys.argv[1:]])
    return commands.STOPPED if stopped else status


if __name__ == "__main__":
    commands.run(main)
