"""Reads <kind>_<model>.json: what a command measured and said where, when and on what machine."""

import json
from pathlib import Path

from harness.errors import UserError
from harness.measurements import KEPT

#: What each says of itself.
_ABOUT = ("model", "iteration", "command", "commit", "machine", "time")


def paths(kind: str, runs: Path) -> list[Path]:
    """The files of a kind by name: those in the runs folder, then the others that results/ keeps."""
    found = {path.name: path for folder in (Path(KEPT), runs) for path in folder.glob(f"{kind}_*.json")}
    return [found[name] for name in sorted(found)]


def whence(path: Path) -> str:
    """Where a file of `paths` lies, as the page says it."""
    return f"kept in {path}" if path.parent == Path(KEPT) else f"from {path}"


def load(path: Path, *needed: str) -> dict:
    """One file with these fields; UserError where it is broken."""
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
    """The files of a kind by name, each with these fields, `whence` and `kept`; UserError for one that is broken."""
    return [
        {**load(path, *needed), "whence": whence(path), "kept": path.parent == Path(KEPT)} for path in paths(kind, runs)
    ]
