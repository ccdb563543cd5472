"""Reads and checks Tiny ImageNet in its official layout: classes, words, and the lists of images.

    wnids.txt   words.txt
    train/<wnid>/images/<wnid>_<i>.JPEG
    val/val_annotations.txt   val/images/val_<i>.JPEG
    test/images/test_<i>.JPEG

The official set has 500, 50 and 50 images a class (report section 2). A smaller set in this layout is read
in the same way.
"""

import gc
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_prep.archive import Entry, Reader
from data_prep.classes import official_classes, parse_wnids, parse_words
from data_prep.listing import list_files
from harness.errors import UserError

UNKNOWN_LABEL = -1
_IMAGE = re.compile(r"(?:train/(\w+)|(val|test))/images/(\w+)_(\d{1,9})\.JPEG", re.ASCII)


class LabelledImage(NamedTuple):
    """One image: its file and its label, 0 to 199. The label is -1 in the test set, whose labels the judge has."""

    entry: Entry
    label: int


@dataclass(frozen=True)
class TinyImageNet:
    """The set at ``path``. ``wnids`` is sorted: the position of an id is its label.

    ``train`` is in the order of label, then number; ``val`` is in the order of val_annotations.txt. ``test`` is ordered
    by number.
    """

    path: Path
    reader: Reader
    wnids: tuple[str, ...]
    words: dict[str, str]
    train: list[LabelledImage]
    val: list[LabelledImage]
    test: list[LabelledImage]

    @classmethod
    def open(cls, path: Path, test: bool = True) -> "TinyImageNet":
        """Read the lists of the zip or folder at ``path``. Raises ``UserError`` if the set is not whole.

        Without ``test`` the set needs no test images. It needs no words.txt either if its classes are the official
        ones. Sets for training and val alone may leave these out.
        """
        with no_search_for_garbage():
            return cls._open(path, test)

    @classmethod
    def _open(cls, path: Path, with_test: bool) -> "TinyImageNet":
        reader, entries = list_files(path)

        def text(name: str) -> str:
            if name not in entries:
                raise UserError(f"{path}: {name} is missing; this is not Tiny ImageNet in its official layout")
            try:
                return reader.read(entries[name]).decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{path}: {name} is not text") from error

        wnids = parse_wnids(text("wnids.txt"), f"{path}: wnids.txt")
        if with_test or "words.txt" in entries:
            words = parse_words(text("words.txt"), wnids, f"{path}: words.txt")
        else:
            official = "".join(f"{wnid}\t{words}\n" for wnid, words in official_classes().items())
            words = parse_words(official, wnids, f"{path}: no words.txt, and its classes are not the official ones")
        images = _group_images(entries, path)
        train = _train_list(images, wnids, path)
        val = _val_list(text("val/val_annotations.txt"), images["val"], wnids, path)
        test = [LabelledImage(entry, UNKNOWN_LABEL) for _, entry in sorted(images["test"]) if with_test]
        if with_test and not test:
            raise UserError(f"{path}: no image in test/images")
        return cls(path, reader, wnids, words, train, val, test)


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """Garbage collection is disabled: with 120,000 new objects it doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _group_images(entries: dict[str, Entry], path: Path) -> dict[str, list[tuple[int, Entry]]]:
    """The (number, entry) of each image, by ``val``, ``test`` or, for train, the class's id."""
    groups: dict[str, list[tuple[int, Entry]]] = defaultdict(list)
    for name, entry in entries.items():
        # Other files beside the images (boxes, thumbnails that a desktop leaves) are ignored.
        if not name.endswith(".JPEG"):
            continue
        match = _IMAGE.fullmatch(name)
        if match is None or match[3] != (match[1] or match[2]):
            raise UserError(f"{path}: image {name!r} is not where, or not named as, the official layout has it")
        groups[match[3]].append((int(match[4]), entry))
    return groups


def _train_list(images: dict[str, list[tuple[int, Entry]]], wnids: tuple[str, ...], path: Path) -> list[LabelledImage]:
    for wnid in wnids:
        if not images[wnid]:
            raise UserError(f"{path}: class {wnid} of wnids.txt has no image in train/{wnid}/images")
    strangers = images.keys() - set(wnids) - {"val", "test"}
    if strangers:
        raise UserError(f"{path}: train/{min(strangers)} is a class that wnids.txt does not list")
    return [LabelledImage(entry, label) for label, wnid in enumerate(wnids) for _, entry in sorted(images[wnid])]


def _val_list(
    annotations: str, images: list[tuple[int, Entry]], wnids: tuple[str, ...], path: Path
) -> list[LabelledImage]:
    where = f"{path}: val/val_annotations.txt"
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    present = {entry.name: entry for _, entry in images}
    listed = []
    for number, line in enumerate(annotations.splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in labels:
            raise UserError(f"{where} line {number}: not an image and a class of wnids.txt: {line[:60]!r}")
        entry = present.pop(f"val/images/{fields[0]}", None)
        if entry is None:
            raise UserError(f"{where} line {number}: {fields[0][:40]!r} is not in val/images, or is listed twice")
        listed.append(LabelledImage(entry, labels[fields[1]]))
    if present:
        raise UserError(f"{where}: no line for {min(present)} ({len(present)} images are not annotated)")
    if not listed:
        raise UserError(f"{where}: empty")
    return listed
