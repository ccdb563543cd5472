"""The files of a comparison in runs/ensemble/: methods.json, which the report's page reads, methods.csv and methods.md."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from ensemble import comparison_words
from ensemble.comparison import Balanced, Comparison, Difference, Row
from ensemble.scoring import views
from ensemble.scoring.score_data import check_records
from harness.errors import UserError
from harness.files import read_text, whole_file

#: Fields of methods.json besides the comparison itself.
ABOUT = ("command", "commit", "machine", "time", "seconds")
#: Fields that older files lack: the records that the scores belong to.
_LATER = ("records",)
_CSV = ("method", "val_accuracy", "low", "high", "holdout_accuracy", "over", "gain", "gain_low", "gain_high",
        "only_this", "only_other", "p", "p_holm")  # fmt: skip


def write(out: Path, found: Comparison, about: Mapping[str, object]) -> None:
    """Write all three files, each whole or not at all; methods.csv has one line per test."""
    with whole_file(out / "methods.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CSV)
        for row in found.rows:
            for over, difference in ((found.single, row.over_single), ("report", row.over_report)):
                if difference:
                    first = (row.name, row.val, row.low, row.high, row.holdout, over)
                    writer.writerow((*first, *asdict(difference).values()))
    with whole_file(out / "methods.md") as file:
        file.write(comparison_words.page(found))
    with whole_file(out / "methods.json") as file:
        json.dump({**about, **asdict(found)}, file, indent=1)
        file.write("\n")


def read(path: Path, view: str = views.CENTER, data: Path | None = None) -> tuple[Comparison, dict]:
    """The comparison of a methods.json and its other fields; UserError if it is missing or not one.

    ``view`` is the view of the compared scores; an error names the command for it. ``data`` is the folder of the LMDBs
    that must hold the records.
    """
    command = "make methods" if view == views.CENTER else f"make methods VIEW={view}"
    if not path.is_file():
        raise UserError(f"{path}: no methods were compared yet: {command}")
    again = f"`{command}` writes it anew"
    try:
        stored = json.loads(read_text(path, again))
        about = {name: stored.pop(name) for name in (*ABOUT, *_LATER) if name in ABOUT or name in stored}
        found = Comparison(**stored)
        if len(stored) != len(fields(Comparison)) or not found.models or not found.rows:
            raise ValueError("a part is missing")
        if any(not isinstance(model, str) or Path(model).name != model for model in found.models):
            raise ValueError("a model's name is a path")
        rows = [_row(Row, row, ("over_single", "over_report")) for row in found.rows]
        balanced = [_row(Balanced, row, ("over_plain", "fitted_over_plain")) for row in found.balanced]
        found = Comparison(**{**stored, "rows": rows, "balanced": balanced})
        comparison_words.page(found)  # fails unless every field for a number holds one
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not what `make methods` writes ({str(error)[:200]!r}); {again}") from error
    if data is not None:
        check_records(data, about.get("records"), path, command)
    return found, about


def _row(kind, stored: dict, differences: tuple[str, ...]):
    """A row whose differences are dictionaries or None."""
    parts = {name: None if stored[name] is None else Difference(**stored[name]) for name in differences}
    return kind(**{**stored, **parts})
