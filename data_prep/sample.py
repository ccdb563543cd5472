"""Makes a small data set in the official layout of Tiny ImageNet, for machines without network.

    python -m data_prep.sample --out demo/sample --images-per-class 40

The 200 classes have the real ids. Their images are drawings (data_prep/drawing.py), not photographs, and their words
show that. A result on them proves that the pipeline works, and nothing about Tiny ImageNet.
"""

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.classes import official_classes
from data_prep.drawing import draw, look_of, name_of
from data_prep.errors import exit_status
from data_prep.staging import staged_folder
from harness import commands
from harness.progress import bar

GRAY_SHARE = 0.01
_JPEG_QUALITY = 85


def make_sample(out: Path, train_per_class: int, val_per_class: int, test_images: int, seed: int) -> bool:
    """Write the set to ``out``. If the same set exists already, do nothing and return False.

    The same numbers and seed give the same files with the same versions of NumPy and Pillow.
    """
    options = {
        "train_per_class": train_per_class,
        "val_per_class": val_per_class,
        "test": test_images,
        "seed": seed,
        "words": "drawings",
    }
    note = out / "sample.json"
    if note.is_file() and note.read_text(encoding="utf-8") == json.dumps(options):
        return False
    classes = official_classes()
    with staged_folder(out, durable=False) as folder:
        (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in classes), encoding="utf-8")
        words = "".join(f"{wnid}\t{name_of(look_of(index))}\n" for index, wnid in enumerate(sorted(classes)))
        (folder / "words.txt").write_text(words, encoding="utf-8")
        for index, wnid in enumerate(bar(sorted(classes), desc="drawing", unit="class")):
            random = np.random.default_rng([seed, 0, index])
            _write_class(folder / "train" / wnid, wnid, index, train_per_class, random)
        _write_val(folder / "val", sorted(classes), val_per_class, seed)
        _write_test(folder / "test" / "images", len(classes), test_images, seed)
        (folder / note.name).write_text(json.dumps(options), encoding="utf-8")
    return True


def _write_class(folder: Path, wnid: str, index: int, count: int, random: np.random.Generator) -> None:
    images = folder / "images"
    images.mkdir(parents=True)
    boxes = []
    for number, (data, box) in enumerate(_jpegs(index, count, random)):
        name = f"{wnid}_{number}.JPEG"
        (images / name).write_bytes(data)
        boxes.append(f"{name}\t{box}\n")
    (folder / f"{wnid}_boxes.txt").write_text("".join(boxes), encoding="utf-8")


def _write_val(folder: Path, wnids: list[str], per_class: int, seed: int) -> None:
    images = folder / "images"
    images.mkdir(parents=True)
    numbers = np.random.default_rng([seed, 1]).permutation(len(wnids) * per_class)
    lines = {}
    for index, wnid in enumerate(wnids):
        drawn = _jpegs(index, per_class, np.random.default_rng([seed, 1, index]))
        for number, (data, box) in zip(numbers[index * per_class :], drawn, strict=False):
            name = f"val_{number}.JPEG"
            (images / name).write_bytes(data)
            lines[number] = f"{name}\t{wnid}\t{box}\n"
    annotations = "".join(line for _, line in sorted(lines.items()))
    (folder / "val_annotations.txt").write_text(annotations, encoding="utf-8")


def _write_test(folder: Path, classes: int, count: int, seed: int) -> None:
    folder.mkdir(parents=True)
    drawn_classes = np.random.default_rng([seed, 2]).integers(classes, size=count)
    for index in range(classes):
        numbers = np.flatnonzero(drawn_classes == index)
        drawn = _jpegs(index, len(numbers), np.random.default_rng([seed, 2, index]))
        for number, (data, _) in zip(numbers, drawn, strict=True):
            (folder / f"test_{number}.JPEG").write_bytes(data)


def _jpegs(class_index: int, count: int, random: np.random.Generator) -> Iterator[tuple[bytes, str]]:
    """The JPEG file and box (``left<TAB>top<TAB>right<TAB>bottom``) of ``count`` images; about 1 % are gray."""
    pictures, boxes = draw(look_of(class_index), count, random)
    grays = random.random(count) < GRAY_SHARE
    for picture, box, gray in zip(pictures, boxes, grays, strict=True):
        image = Image.fromarray(picture)
        file = io.BytesIO()
        (image.convert("L") if gray else image).save(file, "JPEG", quality=_JPEG_QUALITY)
        yield file.getvalue(), "\t".join(map(str, box))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data_prep.sample", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo/sample"))
    parser.add_argument("--images-per-class", type=int, default=40, help="train images a class (default 40)")
    parser.add_argument("--val-per-class", type=int, default=10, help="val images a class (default 10)")
    parser.add_argument("--test-images", type=int, default=500, help="test images in all (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if min(args.images_per_class, args.val_per_class, args.test_images) < 1 or args.seed < 0:
        parser.error("the numbers of images are 1 or more, the seed 0 or more")

    def command() -> None:
        made = make_sample(args.out, args.images_per_class, args.val_per_class, args.test_images, args.seed)
        print(f"{args.out}: {'made' if made else 'was there already'}, 200 classes of drawings")

    return exit_status(command)


if __name__ == "__main__":
    commands.run(main)
