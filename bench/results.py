"""Progress lines of the benchmarks, and the files of their results below runs/bench/."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from harness import measurements, provenance
from harness.files import whole_file


def say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def write_csv(out: Path, about: Mapping[str, object], head: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write rows as CSV, after a line "# name: text" for each fact about them."""
    about = {
        **about,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
    }
    measurements.check_place(out)
    with whole_file(out) as file:
        file.writelines(f"# {name}: {text}\n" for name, text in about.items())
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def keep(rows: list[dict], out: Path, **beside: str) -> None:
    """Write rows with the time, code, machine and PyTorch behind them, and further facts (``beside``)."""
    about = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "machine": provenance.machine("all" if torch.cuda.is_available() else ""),
        "torch": torch.__version__,
        **beside,
    }
    measurements.write(out, {**about, "rows": rows})
