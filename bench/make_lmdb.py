"""Images to LMDB: real Caffe's convert_imageset and `make lmdb` by turns, on the same files in the same order.

    python -m bench.make_lmdb [--images 100000] [--rounds 2] [--data data/tiny-imagenet-200.zip]

The train images are unpacked once, which is not timed. Each round then times three commands. A time lasts from the
start of the process to its end, with everything on disk.

- Real Caffe runs `convert_imageset FOLDER/ LIST LMDB`, one thread, without resizing and shuffling.
- Ours runs `python -m data_prep.build_lmdb --data FOLDER`. It also lists and checks the folder and shuffles. It
  writes the mean, the labels and two more LMDBs (of an image each) too.
- Ours also runs `make lmdb` from the zip, with all images of train, val and test.

The time reported is the median over the rounds. Both LMDBs are compared, record for record, byte for byte.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import lmdb

from bench.process import Finished, measured
from bench.table import table
from data_prep.dataset import find
from data_prep.splits import split
from data_prep.tiny_imagenet import LabelledImage, TinyImageNet
from harness.errors import UserError
from tests.conformance.engines import OURS, REAL, REPOSITORY, workspace

CLASSES = 200
IMAGES = 100_000


def unpack(dataset: TinyImageNet, images: int, folder: Path) -> int:
    """Unpack equally many train images of each class, one of val and one of test; returns the former's number.

    They lie in `folder`/images in the official layout. `folder`/list is the train list of convert_imageset, in our
    order.
    """
    counts = [0] * CLASSES
    train = []
    for image in dataset.train:
        if counts[image.label] < max(1, images // CLASSES):
            counts[image.label] += 1
            train.append(image)
    val, test = dataset.val[0], dataset.test[0]
    root = folder / "images"
    for entry, _ in (*train, val, test):
        path = root / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset.reader.read(entry))
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in dataset.wnids))
    (root / "words.txt").write_text("".join(f"{wnid}\t{dataset.words[wnid]}\n" for wnid in dataset.wnids))
    name = Path(val.entry.name).name
    (root / "val/val_annotations.txt").write_text(f"{name}\t{dataset.wnids[val.label]}\t0\t0\t62\t62\n")
    ordered: list[LabelledImage] = split(TinyImageNet.open(root), seed=0)["train"]
    (folder / "list").write_text("".join(f"{entry.name} {label}\n" for entry, label in ordered))
    return len(train)


def convert_imageset(folder: Path) -> Finished:
    """Run real Caffe's convert_imageset, from `folder`/images and `folder`/list to `folder`/real."""
    shutil.rmtree(folder / "real", ignore_errors=True)
    command = [*REAL._chroot(folder), "convert_imageset", "images/", "list", "real"]
    return measured(command, folder, REAL._environment())


def make_lmdb(source: Path, out: Path) -> Finished:
    """Run the command behind `make lmdb`."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "data_prep.build_lmdb", "--data", str(source), "--out", str(out)]
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "engine")])
    return measured(command, REPOSITORY, OURS._environment() | {"PYTHONPATH": paths})


def check_equal(one: Path, other: Path) -> None:
    """Raise SystemExit unless both LMDBs hold the same records."""
    with ExitStack() as stack:
        cursors = []
        for folder in (one, other):
            environment = stack.enter_context(lmdb.open(str(folder), readonly=True, lock=False))
            cursors.append(stack.enter_context(environment.begin(buffers=True)).cursor())
        for number, (here, there) in enumerate(zip(*cursors, strict=True)):
            if here != there:
                raise SystemExit(f"bench: record {number}, {bytes(here[0])!r}, is not the same on both engines")


def measure(data: Path, images: int, rounds: int, progress: Callable[[str], None]) -> list[dict]:
    """Measure the rows of the table. Without real Caffe they are ours alone, without a ratio."""
    dataset = TinyImageNet.open(data)
    everything = sum(map(len, (dataset.train, dataset.val, dataset.test)))
    times: dict[str, list[Finished]] = {name: [] for name in ("real", "ours", "whole")}
    with workspace() as folder:
        progress(f"make lmdb: unpacking {images} of {len(dataset.train)} train images")
        count = unpack(dataset, images, folder)
        os.sync()  # otherwise the first engine's syncs would wait for these files
        for turn in range(1, rounds + 1):
            if not REAL.why_not():
                progress(f"make lmdb, round {turn} of {rounds}: real Caffe")
                times["real"].append(convert_imageset(folder))
            progress(f"make lmdb, round {turn} of {rounds}: ours")
            times["ours"].append(make_lmdb(folder / "images", folder / "ours"))
            times["whole"].append(make_lmdb(data.absolute(), folder / "whole"))
        if times["real"]:
            check_equal(folder / "real", folder / "ours" / "train_lmdb")
    return list(rows(times, count, everything))


def rows(times: dict[str, list[Finished]], count: int, everything: int) -> Iterator[dict]:
    """A row for each command that ran: `count` train images for the first two, `everything` for `make lmdb`."""
    first = None
    for name, engine, work, images in (
        ("real", "real Caffe", "train images to LMDB", count),
        ("ours", "ours", "train images to LMDB", count),
        ("whole", "ours", "make lmdb from the zip", everything),
    ):
        if not times[name]:
            continue
        seconds = median(run.seconds for run in times[name])
        speed = images / seconds
        first = first or (speed if name == "real" else None)
        peak = max(run.peak for run in times[name]) / (1 << 20)
        yield {
            "work": work,
            "engine": engine,
            "images": images,
            "seconds": seconds,
            "images/s": speed,
            "ratio": speed / first if first else None,
            "peak MiB": peak,
        }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.make_lmdb", description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="train images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--data", type=Path, help="zip (default: $TINY_IMAGENET or what `make data` fetched)")
    options = parser.parse_args(arguments)
    try:
        print(table(measure(options.data or find(), options.images, options.rounds, print)))
    except UserError as error:
        raise SystemExit(f"bench: {error}") from error


if __name__ == "__main__":
    main()
