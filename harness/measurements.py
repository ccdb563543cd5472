"""The place of measurements: commands write them below runs/. Only `make results` writes into results/."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import UserError
from harness.files import whole_file

KEPT = "results"  #: committed; `make results` alone writes there
BENCH = Path("runs", "bench")  #: what the benchmarks measured
_REPOSITORY = Path(__file__).resolve().parents[1]


def check_place(path: Path) -> None:
    """Raise UserError for a file in results/, here or in the repository."""
    folder = path.absolute().parent.resolve()
    for kept in {Path(KEPT).resolve(), _REPOSITORY / KEPT}:
        if kept == folder or kept in folder.parents:
            raise UserError(
                f"{path}: only `make results` writes into {KEPT}/, after a check; give --out another folder, as "
                f"runs/{path.name}, then `make results`"
            )


def write(path: Path, found: dict) -> None:
    """Write a measurement as JSON, whole or not at all; UserError for a file in results/."""
    check_place(path)
    with whole_file(path) as file:
        json.dump(found, file, indent=1)
        file.write("\n")


def benchmark(name: str, root: Path = Path()) -> Path:
    """A benchmark's file: in runs/bench/ if it is there, otherwise the one that results/ keeps, there or not."""
    here = root / BENCH / name
    return here if here.is_file() else root / KEPT / name
