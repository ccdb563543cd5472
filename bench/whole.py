"""Check that a benchmark's file is complete, and read its commit and machine, for `make results`."""

import json
from pathlib import Path

from harness.errors import UserError

#: The works that a whole benchmark contains, by the file's name.
WORKS = {
    "bench_cpu.json": ("caffe train alexnet1", "caffe train nin1", "train images to LMDB", "make lmdb from the zip",
                       "class scores alexnet1", "class scores nin1"),
    "bench_gpu.json": ("train alexnet1", "train nin1"),
}  # fmt: skip
IMAGES = {"train images to LMDB": 100_000, "class scores alexnet1": 10_000, "class scores nin1": 10_000}


def files(folder: Path) -> list[Path]:
    """The completed benchmarks in a folder."""
    names = ("*.json", "*.csv")
    return sorted(path for name in names for path in folder.glob(name) if not path.name.endswith(".part.json"))


def missing(path: Path) -> list[str]:
    """The parts that this benchmark lacks of a whole one, a line for each."""
    if path.suffix == ".csv":
        return [] if _about(path) else ["it does not say what it was measured on; run the benchmark again"]
    works: dict[str, list[dict]] = {}
    for row in _rows(path):
        works.setdefault(str(row.get("work", row.get("what"))), []).append(row)
    lines = [f"no {work} in it" for work in WORKS.get(path.name, ()) if work not in works]
    for work, images in IMAGES.items():
        lines += [
            f"{work}: {row['images']} images, not {images}"
            for row in works.get(work, [])
            if path.name in WORKS and row.get("images") != images
        ]
    return list(dict.fromkeys(lines))


def commit(path: Path) -> str | None:
    return _about(path).get("commit")


def machine(path: Path) -> str | None:
    return _about(path).get("machine")


def _rows(path: Path) -> list[dict]:
    rows = _about(path).get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: not what a benchmark writes; measure again")
    return rows


def _about(path: Path) -> dict:
    """The facts that a file holds about itself; in a CSV, the lines that begin with #."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".csv":
        pairs = (line[2:].partition(": ") for line in text.splitlines() if line.startswith("# "))
        return {name: told for name, _, told in pairs}
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):
        pass
    raise UserError(f"{path}: not what a benchmark writes; measure again")
