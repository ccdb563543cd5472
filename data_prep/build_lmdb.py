"""Builds the LMDBs, mean and labels that Caffe trains on from Tiny ImageNet (report section 4; `make lmdb`).

    python -m data_prep.build_lmdb --data data/tiny-imagenet-200.zip --out data/lmdb

makes, in data/lmdb: train_lmdb, val_lmdb, test_lmdb (and holdout_lmdb with --holdout), mean.binaryproto of
train, labels.txt, and build.json, which describes the build. The folder appears whole or not at all. A folder that
holds anything else stays, unless --replace is given.
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import lmdb
import numpy as np

from data_prep import built, source
from data_prep.classes import write_labels
from data_prep.dataset import DEFAULT_ZIP, find
from data_prep.errors import exit_status
from data_prep.mean import write_mean
from data_prep.record_writer import RecordWriter, count_records, disk_bytes
from data_prep.records import PIXEL_COUNT, RecordBatch
from data_prep.splits import split
from data_prep.staging import WriteBehind, put_back, remove_leftovers, staged_folder, step
from data_prep.tiny_imagenet import TinyImageNet, no_search_for_garbage
from data_prep.workers import Batches, Lists, decoders
from harness import commands
from harness.errors import UserError
from harness.progress import bar

DEFAULT_MAX_BAD = 0.001
OUT = Path("data/lmdb")


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
    """Build everything under ``out`` and return the contents of build.json.

    ``max_bad`` is the share of all images that may fail to decode; these are left out and named. Without ``test`` there
    is no test_lmdb. Raises ``UserError`` if the set is not whole, too many images are bad, or the disk is too small.
    ``out`` is then unchanged.
    """
    with ExitStack() as stack:
        stack.enter_context(no_search_for_garbage())
        convert = stack.enter_context(decoders(workers))
        dataset = TinyImageNet.open(data, test)
        lists = split(dataset, seed, holdout)
        space = {name: disk_bytes(dataset.reader, images, encoded) for name, images in lists.items()}
        allowed = int(max_bad * sum(map(len, lists.values())))
        # The leftovers of a killed build are then removed, and their disk space is free.
        folder = stack.enter_context(staged_folder(out))
        _check_space(out, sum(space.values()))
        batches = stack.enter_context(closing(convert(dataset.reader, lists, encoded)))
        lists_sha256 = built.digests(lists)
        pixel_sums, counts, bad = _write_splits(folder, lists, space, batches, allowed)
        write_mean(folder / "mean.binaryproto", pixel_sums["train"], counts["train"])
        write_labels(folder / "labels.txt", dataset.wnids, dataset.words)
        step()
        summary = {
            "source": data.name,
            "records": counts | {"test": counts.get("test", 0)},
            "encoded": encoded,
            "holdout_per_class": holdout,
            "seed": seed,
            "files_sha256": built.images_digest(dataset.reader, lists),
            "lists_sha256": lists_sha256,
            # The digest covers the sum of all images, pixel by pixel. It exposes other pixels under the same names.
            "pixels_sha256": {name: hashlib.sha256(total.tobytes()).hexdigest() for name, total in pixel_sums.items()},
            "left_out": bad,
        }
        (folder / built.NOTE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _write_splits(
    folder: Path, lists: Lists, space: dict[str, int], batches: Batches, allowed: int
) -> tuple[dict[str, np.ndarray], dict[str, int], list[str]]:
    pixel_sums = {name: np.zeros(PIXEL_COUNT, np.int64) for name in lists}
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
                        raise UserError(f"{len(bad)} images do not decode, {allowed} are tolerated: {_some(bad)}")
                    pixel_sums[name] += batch.pixel_sum
                    progress.update(len(batch.keys) + len(batch.bad))
            if not writer.count:
                raise UserError(f"{environment}: not one image of {name} decodes")
            counts[name] = count_records(environment)
            if counts[name] != writer.count:
                raise UserError(f"{environment}: {writer.count} records were written and {counts[name]} are there")
            step()
    return pixel_sums, counts, bad


def _batches_of(name: str, batches: Batches, images: int) -> Iterator[RecordBatch]:
    seen = 0
    while seen < images:
        of, batch = next(batches)
        assert of == name, f"a batch of {of} came while {name} was written"
        seen += len(batch.keys) + len(batch.bad)
        yield batch


def _check_space(out: Path, needed: int) -> None:
    existing = out.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"{out}: needs {needed / 1e9:.2f} GB free and {existing} has {free / 1e9:.2f} GB; make room, "
            "or choose another --out (--encoded takes about a third)"
        )


def _some(names: list[str], most: int = 10) -> str:
    return "; ".join(names[:most]) + ("" if len(names) <= most else f"; and {len(names) - most} more")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_prep.build_lmdb", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="zip or folder (default: $TINY_IMAGENET or what `make data` found)")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument(
        "--encoded",
        nargs="?",
        const=True,
        type=commands.switch,
        help="store the JPEG files; the nets need encoded = true in models/variants.toml then",
    )
    parser.add_argument(
        "--holdout", type=commands.number, metavar="N", help="hold N train images a class out as a test"
    )
    parser.add_argument("--seed", type=commands.number, help="of the train order and the holdout (default 0)")
    parser.add_argument(
        "--replace", nargs="?", const=True, type=commands.switch, help="also where --out holds something else"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that decode")
    parser.add_argument(
        "--max-bad",
        type=float,
        default=DEFAULT_MAX_BAD,
        metavar="SHARE",
        help="share of all images that may fail to decode and are left out (default 0.001)",
    )
    parser.add_argument("--without-test", action="store_true", help="no test images: for where only training is wanted")
    return parser


def _anew(args: argparse.Namespace, options: dict) -> str:
    """The command that builds with these options and replaces any existing folder."""
    if args.data or args.out != OUT:
        return "the same command with --replace"
    named = source.named()
    words = [f"{name}={int(options[key])}" for name, (key, default) in built.OPTIONS.items() if options[key] != default]
    return shlex.join(["make", "lmdb", *([f"TINY_IMAGENET={named}"] if named else []), *words, "REPLACE=1"])


def _wanted(args: argparse.Namespace) -> tuple[Path, dict] | None:
    """The source and the options to build with; None if the requested build exists.

    Raises ``UserError`` if another build is there and no option allows its removal.
    """
    out = args.out
    asked = {"holdout_per_class": args.holdout, "seed": args.seed, "encoded": args.encoded}
    put_back(out)
    if args.data and not args.data.exists():
        raise UserError(f"{args.data}: no such zip or folder")
    if args.replace:
        options = built.options_of(None, asked)
        data = args.data or find()
        try:
            found = built.read(out)
        except UserError:
            found = None
        if found:
            print(f"{out}: replaces {built.told(out, found)}", file=sys.stderr)
        return data, options
    try:
        found = built.read(out)
    except UserError as error:
        raise UserError(
            f"{error}; move it away, or build in its place: {_anew(args, built.options_of(None, asked))}"
        ) from error
    if found is None:
        return args.data or find(), built.options_of(None, asked)
    options, lost = built.options_of(found, asked), built.missing(out, found)
    data, gone = args.data, None
    if data is None:
        try:
            data = find()
        except UserError as error:
            if lost or source.named():
                raise
            gone = error if source.remembered(DEFAULT_ZIP.parent) else None
    wrong = built.differences(found, data, asked, not args.without_test)
    if wrong:
        raise UserError(
            f"{out}: holds {built.told(out, found)}. That was built {', and '.join(wrong)}. Nothing was changed; this "
            f"removes it and builds what you ask for: {_anew(args, options)}"
        )
    if not lost:
        remove_leftovers(out)
        print(f"{out}: holds {built.told(out, found)}; nothing to do")
        if gone:
            print(f"note: {gone}", file=sys.stderr)
        return None
    print(f"{out}: {', '.join(lost)} is missing, so all is built again", file=sys.stderr)
    return data, options


def main(argv: list[str] | None = None) -> int:
    parser = _arguments()
    args = parser.parse_args(argv)
    if (args.holdout or 0) < 0 or args.workers < 1 or not 0 <= args.max_bad < 1:
        parser.error("--holdout is 0 or more, --workers 1 or more, --max-bad from 0 to below 1")

    def command() -> None:
        wanted = _wanted(args)
        if wanted is None:
            return
        data, options = wanted
        try:
            summary = build(
                data,
                args.out,
                encoded=options["encoded"],
                holdout=options["holdout_per_class"],
                seed=options["seed"],
                workers=args.workers,
                max_bad=args.max_bad,
                test=not args.without_test,
            )
        except lmdb.Error as error:
            raise UserError(f"{args.out}: LMDB says: {error}") from error
        for name in summary["left_out"]:
            print(f"warning: left out {name}", file=sys.stderr)
        print(f"{args.out}: {built.told(args.out, summary)}")
        if options["encoded"]:
            print("These are encoded: set encoded = true in models/variants.toml, then: make models")

    return exit_status(command)


if __name__ == "__main__":
    commands.run(main)
