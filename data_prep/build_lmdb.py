"""Tiny ImageNet to the LMDBs, mean and labels that Caffe trains on (report section 4; `make lmdb`).

    python -m data_prep.build_lmdb --data data/tiny-imagenet-200.zip --out data/lmdb

makes, in data/lmdb: train_lmdb, val_lmdb, test_lmdb (and holdout_lmdb with --holdout), mean.binaryproto of
train, labels.txt, and build.json, which says what was built. The folder appears whole or not at all.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import lmdb
import numpy as np

import commands
from data_prep.built import built, digests
from data_prep.classes import write_labels
from data_prep.dataset import find
from data_prep.errors import DataError, exit_status
from data_prep.mean import write_mean
from data_prep.progress import bar
from data_prep.record_writer import RecordWriter, count_records, disk_bytes
from data_prep.records import PIXEL_COUNT, RecordBatch
from data_prep.splits import split
from data_prep.staging import WriteBehind, remove_leftovers, staged_folder, step
from data_prep.tiny_imagenet import TinyImageNet, no_search_for_garbage
from data_prep.workers import Batches, Lists, decoders

DEFAULT_MAX_BAD = 0.001


def build(
    data: Path,
    out: Path,
    *,
    encoded: bool = False,
    holdout: int = 0,
    seed: int = 0,
    workers: int = 1,
    max_bad: float = DEFAULT_MAX_BAD,
    test: bool = True,
) -> dict:
    """Build everything under ``out`` and return what build.json says.

    ``max_bad`` is the share of all images that may fail to decode; these are left out and named. Without
    ``test`` there is no test_lmdb. Raises ``DataError`` for a set that is not whole, more bad images, too little
    disk; ``out`` is then as before.
    """
    with ExitStack() as stack:
        stack.enter_context(no_search_for_garbage())
        convert = stack.enter_context(decoders(workers))
        dataset = TinyImageNet.open(data, test)
        lists = split(dataset, seed, holdout)
        space = {name: disk_bytes(dataset.reader, images, encoded) for name, images in lists.items()}
        allowed = int(max_bad * sum(map(len, lists.values())))
        # What a build that died has left is gone then, and its room free.
        folder = stack.enter_context(staged_folder(out))
        _check_space(out, sum(space.values()))
        batches = stack.enter_context(closing(convert(dataset.reader, lists, encoded)))
        lists_sha256 = digests(lists)
        pixel_sum, counts, bad = _write_splits(folder, lists, space, batches, allowed)
        write_mean(folder / "mean.binaryproto", pixel_sum, counts["train"])
        write_labels(folder / "labels.txt", dataset.wnids, dataset.words)
        step()
        summary = {
            "source": data.name,
            "records": counts | {"test": counts.get("test", 0)},
            "encoded": encoded,
            "holdout_per_class": holdout,
            "seed": seed,
            "lists_sha256": lists_sha256,
            "left_out": bad,
        }
        (folder / "build.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _write_splits(
    folder: Path, lists: Lists, space: dict[str, int], batches: Batches, allowed: int
) -> tuple[np.ndarray, dict[str, int], list[str]]:
    pixel_sum = np.zeros(PIXEL_COUNT, np.int64)
    counts: dict[str, int] = {}
    bad: list[str] = []
    total = sum(map(len, lists.values()))
    with WriteBehind() as behind, bar(total=total, unit="image", desc="images") as progress:
        for name in lists:
            environment = folder / f"{name}_lmdb"
            with RecordWriter(environment, space[name], behind) as writer:
                for batch in _batches_of(name, batches, len(lists[name])):
                    writer.append(batch)
                    step()
                    bad += batch.bad
                    if len(bad) > allowed:
                        raise DataError(f"{len(bad)} images do not decode, {allowed} are tolerated: {_some(bad)}")
                    if name == "train":
                        pixel_sum += batch.pixel_sum
                    progress.update(len(batch.keys) + len(batch.bad))
            if not writer.count:
                raise DataError(f"{environment}: not one image of {name} decodes")
            counts[name] = count_records(environment)
            if counts[name] != writer.count:
                raise DataError(f"{environment}: {writer.count} records were written and {counts[name]} are there")
            step()
    return pixel_sum, counts, bad


def _batches_of(name: str, batches: Batches, images: int) -> Iterator[RecordBatch]:
    seen = 0
    while seen < images:
        of, batch = next(batches)
        assert of == name, f"a batch of {of} came while {name} was written"
        seen += len(batch.keys) + len(batch.bad)
        yield batch


def _check_space(out: Path, needed: int) -> None:
    place = out.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DataError(
            f"{out}: needs {needed / 1e9:.2f} GB free and {place} has {free / 1e9:.2f} GB; make room, "
            "or choose another --out (--encoded takes about a third)"
        )


def _some(names: list[str], most: int = 10) -> str:
    return "; ".join(names[:most]) + ("" if len(names) <= most else f"; and {len(names) - most} more")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data_prep.build_lmdb", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="zip or folder (default: $TINY_IMAGENET or what `make data` fetched)")
    parser.add_argument("--out", type=Path, default=Path("data/lmdb"))
    parser.add_argument(
        "--encoded",
        action="store_true",
        help="store the JPEG files; the nets need encoded = true in models/variants.toml then",
    )
    parser.add_argument("--holdout", type=int, default=0, metavar="N", help="hold N train images a class out as a test")
    parser.add_argument("--seed", type=int, default=0, help="of the train order and the holdout (default 0)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that decode")
    parser.add_argument(
        "--max-bad",
        type=float,
        default=DEFAULT_MAX_BAD,
        metavar="SHARE",
        help="share of all images that may fail to decode and are left out (default 0.001)",
    )
    parser.add_argument("--without-test", action="store_true", help="no test images: for where only training is wanted")
    args = parser.parse_args(argv)
    if args.holdout < 0 or args.workers < 1 or not 0 <= args.max_bad < 1:
        parser.error("--holdout is 0 or more, --workers 1 or more, --max-bad from 0 to below 1")

    def command() -> None:
        data = args.data or find()
        if built(data, args.out, args.encoded, args.holdout, args.seed, not args.without_test):
            remove_leftovers(args.out)
            print(f"{args.out}: holds these images already, built with these options; remove it to build it again")
            return
        try:
            summary = build(
                data,
                args.out,
                encoded=args.encoded,
                holdout=args.holdout,
                seed=args.seed,
                workers=args.workers,
                max_bad=args.max_bad,
                test=not args.without_test,
            )
        except lmdb.Error as error:
            raise DataError(f"{args.out}: LMDB says: {error}") from error
        for name in summary["left_out"]:
            print(f"warning: left out {name}", file=sys.stderr)
        counts = ", ".join(f"{count} {name}" for name, count in summary["records"].items() if count)
        print(f"{args.out}: {counts} records")
        if args.encoded:
            print("These are encoded: set encoded = true in models/variants.toml, then: make models")

    return exit_status(command)


if __name__ == "__main__":
    commands.run(main)
