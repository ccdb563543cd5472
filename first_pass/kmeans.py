"""K-means as a classifier: the report's milestone, an error of 0.982 on val (section 5).

    python -m first_pass.kmeans [--clusters "200 1000"] [--seed "0 1 2"] [--data data/lmdb] [--out runs/kmeans.json]

The train images are clustered by their pixels, averaged to 16 x 16. A cluster stands for the class that most of its
images have. An image of val gets the class of the nearest cluster. Each number of clusters is fitted with each
seed. A row is saved as soon as it is complete. Existing rows of the same images are not computed again, and rows of
other images are removed.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ensemble import rule
from ensemble.scoring.records import read_mean
from first_pass import clusters, pixels
from harness import commands, intervals, provenance
from harness.errors import UserError
from harness.files import whole_file
from report import paper

NAME = "kmeans.json"
_MOST_CLUSTERS = 100_000
_WHOLE = int(paper.value("train-per-class")) * rule.CLASSES  # the number of train images of all Tiny ImageNet
CHANCE = 1 - 1 / rule.CLASSES  # the error of a class drawn by lot


@dataclass(frozen=True)
class Error:
    """The share of a split's images that get a wrong class."""

    error: float
    images: int
    low: float  # 95 % Wilson interval, for the random draw of the images
    high: float

    def __str__(self) -> str:
        return f"{self.error:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Row:
    """One fit, and its provenance."""

    clusters: int
    seed: int
    values: int  # the number of values of an image
    iterations: int
    train_images: int
    train_error: float
    val: Error
    holdout: Error | None
    seconds: float  # duration of the fit
    processor_seconds: float  # processor time of the fit, without that of other programs
    command: str
    commit: str | None
    machine: str | None
    data: str  # SHA-256 of the mean
    time: str

    def is_of(self, count: int, seed: int, data: str) -> bool:
        return (self.clusters, self.seed, self.data) == (count, seed, data)


def read(path: Path) -> list[Row]:
    """The rows of a file by clusters and seed; none without a file. Raises UserError if the file is broken."""
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        whole = [
            Row(**{**row, "val": Error(**row["val"]), "holdout": row["holdout"] and Error(**row["holdout"])})
            for row in rows
        ]
        return sorted(whole, key=lambda row: (row.clusters, row.seed))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not what `make kmeans` writes ({error!r}); remove it") from error


def write(path: Path, rows: list[Row]) -> None:
    with whole_file(path) as file:
        found = sorted(rows, key=lambda row: (row.clusters, row.seed))
        json.dump({"rows": [asdict(row) for row in found]}, file, indent=1)
        file.write("\n")


def error_of(wrong: int, images: int) -> Error:
    """The error with its interval."""
    error, low, high = intervals.accuracy(wrong, images)  # intervals.accuracy works for any share
    return Error(error, images, round(low, 6), round(high, 6))


def _run(options: argparse.Namespace) -> None:
    counts = _numbers("CLUSTERS", options.clusters, 1, _MOST_CLUSTERS)
    seeds = _numbers("SEED", options.seed, 0, 2**32 - 1)
    shape = read_mean(options.data / "mean.binaryproto").shape
    data = provenance.digest_of_mean(options.data / "mean.binaryproto")
    rows = [row for row in read(options.out) if row.data == data]
    wanted = [(count, seed) for count in counts for seed in seeds]
    to_fit = [one for one in wanted if not any(row.is_of(*one, data) for row in rows)]
    if to_fit:
        begun = time.perf_counter()
        sets = {split: pixels.read(options.data / f"{split}_lmdb", shape) for split in ("train", "val")}
        if (options.data / "holdout_lmdb").is_dir():
            sets["holdout"] = pixels.read(options.data / "holdout_lmdb", shape)
        told = ", ".join(f"{len(labels):,} of {split}" for split, (_, labels) in sets.items())
        height, width = pixels.averaged(shape)
        _say(f"images: {told}, averaged to {width} x {height} in {time.perf_counter() - begun:.0f} s")
    for count, seed in wanted:
        row = next((row for row in rows if row.is_of(count, seed, data)), None)
        if row is None:
            _say(f"{count} clusters, seed {seed}: fitting")
            row = _fit(sets, count, seed, data)
            # The file is read again, as another process may have added rows meanwhile.
            others = [other for other in read(options.out) if other.data == data]
            rows = [*(other for other in others if not other.is_of(count, seed, data)), row]
            write(options.out, rows)
        _tell(row)
    print(f"error by lot {CHANCE:.3f}; the report: {paper.value('kmeans-error')}")
    if row.train_images + (row.holdout.images if row.holdout else 0) < _WHOLE:
        print(f"Of {row.train_images:,} train images, a part of Tiny ImageNet: no number of the report's.")
    print(f"-> {options.out}")


def _fit(sets: dict, count: int, seed: int, data: str) -> Row:
    train, labels = sets["train"]
    begun, spent = time.perf_counter(), time.process_time()
    fitted = clusters.fit(train, labels, count, seed)
    seconds, processor_seconds = time.perf_counter() - begun, time.process_time() - spent
    errors = {split: error_of(fitted.wrong(*of), len(of[1])) for split, of in sets.items() if split != "train"}
    return Row(
        count,
        seed,
        train.shape[1],
        fitted.iterations,
        len(labels),
        fitted.train_error,
        errors["val"],
        errors.get("holdout"),
        round(seconds, 1),
        round(processor_seconds, 1),
        f"make kmeans CLUSTERS={count} SEED={seed}",
        provenance.commit(),
        provenance.machine(),
        data,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _tell(row: Row) -> None:
    held = f", held-out {row.holdout}" if row.holdout else ""
    print(
        f"{row.clusters} clusters, seed {row.seed}: error on val {row.val}{held}, on train {row.train_error:.4f} "
        f"({row.iterations} iterations, {row.seconds:.0f} s)",
        flush=True,
    )


def _say(line: str) -> None:
    print(f"first_pass.kmeans: {line}", file=sys.stderr, flush=True)


def _numbers(name: str, text: str, least: int, most: int) -> list[int]:
    """Numbers as typed, each once. Raises UserError for a word that is no number or out of bounds."""
    words = text.replace(",", " ").split()
    if wrong := next((word for word in words if not word.isdecimal() or not least <= int(word) <= most), None):
        raise UserError(f'{name}="{text}": {wrong} is no number from {least} to {most}')
    if not words:
        raise UserError(f'{name}="": names no number; as {name}="{least}"')
    return list(dict.fromkeys(map(int, words)))


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command, and return the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m first_pass.kmeans", description=__doc__.partition("\n")[0])
    parser.add_argument("--clusters", default=str(rule.CLASSES), help="default: %(default)s")
    parser.add_argument("--seed", default="0", help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs", NAME), help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except (UserError, OSError) as error:
        return f"first_pass.kmeans: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
