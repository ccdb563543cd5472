"""The solver in the last commit, to compare with one that a user or `make lr-MODEL` has edited since."""

import subprocess
from pathlib import Path

from harness.errors import UserError
from training.edits import changes
from training.solver_file import parse_solver


def committed(path: Path) -> str:
    """A file's text in the last commit, with its line ends. Raises UserError with git's reason if there is none."""
    command = ["git", "-C", str(path.parent), "show", f"HEAD:./{path.name}"]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=10)
        text = done.stdout.decode()
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise UserError(f"{path}: git gives no committed version: {error}") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["git failed without a word"]
        raise UserError(f"{path}: git has no committed version to restore ({reason[-1].removeprefix('fatal: ')})")
    return text


def edited_since_commit(path: Path, solver) -> dict[str, str]:
    """`committed -> now` by field; empty without an edit, without git, and for a solver that is not committed."""
    try:
        return changes(parse_solver(committed(path), path), solver)
    except UserError:
        return {}
