"""What the benchmarks say while they run, and where they keep what they found."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from ensemble.files import whole_file
from solvers import provenance


def say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def keep(rows: list[dict], out: Path, **beside: str) -> None:
    """Write rows with what they were measured on, and what else is to be known (``beside``)."""
    about = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "machine": provenance.machine("all" if torch.cuda.is_available() else ""),
        "torch": torch.__version__,
        **beside,
    }
    with whole_file(out) as file:
        json.dump({**about, "rows": rows}, file, indent=1)
        file.write("\n")
