"""Assigns images to LMDBs, in a fixed order.

Caffe's Data layer reads records in stored order and never shuffles, so the train list is shuffled here, once.
The order follows from SHA-256 of the seed and the image's name. It is the same on every machine and version, for zip
and folder. A held-out image does not move the others.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from data_prep.tiny_imagenet import LabelledImage, TinyImageNet
from harness.errors import UserError


def split(dataset: TinyImageNet, seed: int, holdout_per_class: int = 0) -> dict[str, list[LabelledImage]]:
    """Lists by name: ``train`` (shuffled), ``val``, ``test``, and ``holdout`` if requested.

    The held-out images leave train and keep their labels. They are a local stand-in for the judge's test set, with
    equally many of each class. Val is never touched. A set opened without its test images has no ``test``. Raises
    ``UserError`` if a class would have no image left to train on.
    """
    train, held_out = dataset.train, []
    if holdout_per_class:
        train, held_out = _hold_out(train, seed, holdout_per_class, dataset.wnids)
    lists = {"train": _shuffled(train, seed, "order"), "val": dataset.val}
    if dataset.test:
        lists["test"] = dataset.test
    if held_out:
        lists["holdout"] = held_out
    return lists


def _hold_out(
    train: list[LabelledImage], seed: int, per_class: int, wnids: tuple[str, ...]
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    classes: dict[int, list[LabelledImage]] = defaultdict(list)
    for image in train:
        classes[image.label].append(image)
    chosen: set[str] = set()
    for label, images in classes.items():
        if len(images) <= per_class:
            raise UserError(
                f"cannot hold out {per_class} images a class: {wnids[label]} has {len(images)}, "
                "and needs one to train on"
            )
        chosen.update(image.entry.name for image in _shuffled(images, seed, "holdout")[:per_class])
    kept = [image for image in train if image.entry.name not in chosen]
    return kept, [image for image in train if image.entry.name in chosen]


def _shuffled(images: Iterable[LabelledImage], seed: int, purpose: str) -> list[LabelledImage]:
    def rank(image: LabelledImage) -> bytes:
        return hashlib.sha256(f"{seed} {purpose} {image.entry.name}".encode()).digest()

    return sorted(images, key=rank)
