"""Read <kind>_<model>.json: a command's measurement, with its commit, time and machine."""

import json
from pathlib import Path

from harness.errors import UserError
from harness.measurements import KEPT

#: Fields that each file must have.
_ABOUT = ("model", "iteration", "command", "commit", "machine", "time")


def paths(kind: str, runs: Path) -> list[Path]:
    """The files of a kind by name: those in the runs folder, and the others that results/ keeps."""
    found = {path.name: path for folder in (Path(KEPT), runs) for path in folder.glob(f"{kind}_*.json")}
    return [found[name] for name in sorted(found)]


def whence(path: Path) -> str:
    """The place of a file of `paths`, in the page's words."""
    return f"kept in {path}" if path.parent == Path(KEPT) else f"from {path}"


def load(path: Path, *needed: str) -> dict:
    """Load one file with these fields; UserError if it is broken."""
    try:
        one = json.loads(path.read_text(encoding="utf-8"))
        if missing := [name for name in (*_ABOUT, *needed) if name not in one]:
            raise ValueError(f"no {missing[0]}")
    except (ValueError, TypeError, RecursionError) as error:
        kept = path.parent == Path(KEPT)
        remedy = "restore it from git" if kept else "measure again"
        raise UserError(f"{path}: not what the commands write ({error}); {remedy}, or remove it") from error
    return one


def read(kind: str, runs: Path, *needed: str) -> list[dict]:
    """Read the files of a kind by name, each with these fields, `whence` and `kept`; UserError if one is broken."""
    return [
        {**load(path, *needed), "whence": whence(path), "kept": path.parent == Path(KEPT)} for path in paths(kind, runs)
    ]
