"""Reads results/<kind>_<model>.json: what a command measured and said where, when and on what machine."""

import json
from pathlib import Path

from ensemble.files import BadInput

FOLDER = Path("results")
#: What each says of itself.
_ABOUT = ("model", "iteration", "command", "commit", "machine", "time")


def read(kind: str, *needed: str) -> list[dict]:
    """The files of a kind, by model, each with these fields; BadInput for one that is broken."""
    found = []
    for path in sorted(FOLDER.glob(f"{kind}_*.json")):
        try:
            one = json.loads(path.read_text(encoding="utf-8"))
            if missing := [name for name in (*_ABOUT, *needed) if name not in one]:
                raise ValueError(f"no {missing[0]}")
        except (ValueError, TypeError, RecursionError) as error:
            raise BadInput(
                f"{path}: not what the commands write ({error}); restore it from git, or remove it"
            ) from error
        found.append(one)
    return found
