"""Reads an LMDB folder's build.json, and compares it with the request of a `make lmdb` call."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from data_prep.archive import Reader
from data_prep.listing import files_digest
from data_prep.records import record_key
from data_prep.splits import split
from data_prep.tiny_imagenet import LabelledImage, TinyImageNet
from data_prep.workers import Lists
from harness.errors import UserError

NOTE = "build.json"
#: Make's variables, the fields of build.json that they set, and the defaults.
OPTIONS = {"HOLDOUT": ("holdout_per_class", 0), "SEED": ("seed", 0), "ENCODED": ("encoded", False)}


def read(out: Path) -> dict | None:
    """The contents of ``out/build.json``; None if ``out`` is missing or empty.

    Raises ``UserError`` if ``out`` holds anything else, which may be the user's own.
    """
    if not out.exists() or out.is_dir() and not any(out.iterdir()):
        return None
    try:
        found = json.loads((out / NOTE).read_text(encoding="utf-8"))
        counts = found["records"].values()
        if not all(type(count) is int for count in counts) or not isinstance(found["lists_sha256"], dict):
            raise ValueError("records are no numbers")
        found = {"source": "an unknown set", **{key: default for key, default in OPTIONS.values()}, **found}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{out}: holds something that make lmdb did not write whole ({NOTE}: {error})") from error
    return found


def told(out: Path, found: dict) -> str:
    """A description of a build: records of each split, the held-out split, options, source and time."""
    counts = {name: count for name, count in found["records"].items() if count}
    records = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    options = " ".join(f"{name}={int(found[key])}" for name, (key, _) in OPTIONS.items())
    when = datetime.fromtimestamp((out / NOTE).stat().st_mtime)
    held_out = "" if found["records"].get("holdout") else "no held-out split; "
    return f"{records} records; {held_out}{options}; built from {found['source']} on {when:%Y-%m-%d %H:%M}"


def missing(out: Path, found: dict) -> list[str]:
    """The files that build.json lists and that are gone."""
    lmdbs = [f"{name}_lmdb/data.mdb" for name, count in found["records"].items() if count]
    return [name for name in [*lmdbs, "mean.binaryproto", "labels.txt"] if not (out / name).is_file()]


def options_of(found: dict | None, asked: dict) -> dict:
    """The options of a build: the requested value, otherwise the existing build's, otherwise the default."""
    there = found or {}
    return {key: there.get(key, default) if asked[key] is None else asked[key] for key, default in OPTIONS.values()}


def differences(found: dict, data: Path | None, asked: dict, test: bool) -> list[str]:
    """The differences between a build and a request, in words. An option of None is not requested.

    ``data`` is the requested source, None if there is none. A renamed zip is the same source. Raises
    ``UserError`` if a source is not whole.
    """
    wrong = [
        f"with {name}={int(found[key])}, not {name}={int(asked[key])}"
        for name, (key, _) in OPTIONS.items()
        if asked[key] is not None and asked[key] != found[key]
    ]
    if test and not found["records"].get("test"):
        wrong.append("without the test images")
    if data is None:
        return wrong
    dataset = TinyImageNet.open(data, test and bool(found["records"].get("test")))
    lists = split(dataset, found["seed"], found["holdout_per_class"])
    there, files = found["lists_sha256"], found.get("files_sha256")
    same = all(there.get(name) == digest for name, digest in digests(lists).items())
    if same and files and there.keys() == lists.keys():
        same = files == images_digest(dataset.reader, lists)
    elif data.name != found["source"]:  # only names and labels are known, which is too little
        same = False
    if not same:
        other = data.name == found["source"]
        wrong.append(f"from other images than {data} holds" if other else f"from {found['source']}, not from {data}")
    return wrong


def images_digest(reader: Reader, lists: Lists) -> str:
    """A digest that identifies all images of a build in their source."""
    return files_digest(reader, (image.entry for images in lists.values() for image in images))


def digests(lists: Lists) -> dict[str, str]:
    """SHA-256 of each list: its images' names and labels, in order."""
    return {name: _digest(images) for name, images in lists.items()}


def _digest(images: Iterable[LabelledImage]) -> str:
    digest = hashlib.sha256()
    for index, (entry, label) in enumerate(images):
        digest.update(record_key(index, entry.name) + b" %d\n" % label)
    return digest.hexdigest()
