"""Check that a run was trained on the images of data/lmdb, by the mean image that its journal records."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.errors import UserError
from harness.files import read_text

JOURNAL = "journal.jsonl"


def other_images(run: Path, data: Path) -> bool:
    """True if the journal shows that a run last trained on other images than those of `data`.

    The run may then have trained on images that are held out of `data`. A journal without that field gives False.
    training/journal.py reads more of the journal, but needs a newer Python than real Caffe's.
    """
    path = run / JOURNAL
    if not path.is_file():
        return False
    told = None
    for line in read_text(path, "its last run's line is damaged: restore it").splitlines():
        try:
            told = json.loads(line).get("data") or told
        except (ValueError, AttributeError):  # a crash can cut a line
            continue
    mean = (data / "mean.binaryproto").read_bytes()
    return told is not None and told != f"mean {hashlib.sha256(mean).hexdigest()}"


def check(run: Path, data: Path) -> None:
    """Raise UserError if the run trained on other images than those that `data` leaves for training."""
    if other_images(run, data):
        raise UserError(
            f"{run}: was trained on other images than those of {data} (their means differ), so what is held out here "
            "may have been among them; name the data of that run with --data"
        )
