"""Whether a run was trained on the images that are here: its journal tells of the mean image it trained with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.errors import UserError
from harness.files import read_text

JOURNAL = "journal.jsonl"


def other_images(run: Path, data: Path) -> bool:
    """Whether the journal says that a run trained last on other images than those of `data`; False where it is silent.

    Images that are held out of `data` may then be among those that the run trained on. (training/journal.py reads
    more of it, and does not run on the old Python beside real Caffe.)
    """
    path = run / JOURNAL
    if not path.is_file():
        return False
    told = None
    for line in read_text(path, "its last run's line is damaged: restore it").splitlines():
        try:
            told = json.loads(line).get("data") or told
        except (ValueError, AttributeError):  # a line cut by a crash
            continue
    mean = (data / "mean.binaryproto").read_bytes()
    return told is not None and told != f"mean {hashlib.sha256(mean).hexdigest()}"


def check(run: Path, data: Path) -> None:
    """Raise UserError where the run trained on other images than those that `data` leaves for training."""
    if other_images(run, data):
        raise UserError(
            f"{run}: was trained on other images than those of {data} (their means differ), so what is held out here "
            "may have been among them; name the data of that run with --data"
        )
