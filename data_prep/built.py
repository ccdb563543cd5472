"""Whether an LMDB folder holds already what a build would make: then nothing needs to be done."""

import hashlib
import json
from pathlib import Path

from data_prep.records import record_key
from data_prep.splits import split
from data_prep.tiny_imagenet import LabelledImage, TinyImageNet


def built(data: Path, out: Path, encoded: bool, holdout: int, seed: int, test: bool = True) -> dict | None:
    """What ``out/build.json`` says where it was built with these options from the same images, else None.

    The same images: as many, with the same names, labels and order, from a source of the same name. Raises
    ``DataError`` for a source that is not whole.
    """
    try:
        found = json.loads((out / "build.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    options = {"source": data.name, "encoded": encoded, "holdout_per_class": holdout, "seed": seed}
    if not isinstance(found, dict) or any(found.get(key) != value for key, value in options.items()):
        return None
    lists = split(TinyImageNet.open(data, test), seed, holdout)
    files = [out / f"{name}_lmdb" / "data.mdb" for name in lists]
    whole = all(path.is_file() for path in [*files, out / "mean.binaryproto", out / "labels.txt"])
    return found if whole and found.get("lists_sha256") == digests(lists) else None


def digests(lists: dict[str, list[LabelledImage]]) -> dict[str, str]:
    """SHA-256 of each list: its images' names and labels, in order."""
    return {name: _digest(images) for name, images in lists.items()}


def _digest(images: list[LabelledImage]) -> str:
    digest = hashlib.sha256()
    for index, (entry, label) in enumerate(images):
        digest.update(record_key(index, entry.name) + b" %d\n" % label)
    return digest.hexdigest()
