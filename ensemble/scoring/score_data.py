"""Check that scores belong to the records in data/lmdb, so that scores of removed or replaced data are not shown.

A score file holds an identity of its split's records, copied from build.json of `make lmdb` at scoring. If the file
or build.json has none, as for an LMDB of other tools, the names of the images decide.
"""

from __future__ import annotations

import json
from pathlib import Path

from ensemble.rule import CLASSES
from harness.errors import UserError

DATA = Path("data/lmdb")
#: Fields of build.json that identify a split, first its list of files, then its pixels.
_FIELDS = ("lists_sha256", "pixels_sha256")


class OtherData(UserError):
    """The scores belong to records that no longer exist."""


def identity(data: Path, split: str) -> str:
    """The identity of a split's records: digests, or "" if build.json has none."""
    try:
        build = json.loads((data / "build.json").read_text(encoding="utf-8"))
        found = [build[field][split] for field in _FIELDS if field in build]
        return " ".join(found) if all(isinstance(each, str) for each in found) else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def same(one: str, other: str) -> bool:
    """True if two identities agree in every digest that both have."""
    return all(first == second for first, second in zip(one.split(), other.split()))


def _any_lmdb(data: Path) -> bool:
    return any(path.is_file() for path in data.glob("*_lmdb/data.mdb"))


def check_records(data: Path, records: object, path: Path, again: str) -> None:
    """Raise OtherData if a file made from scores names other records than `data` holds.

    `records` comes from the file: an identity for each split. Older files have none.
    """
    if not isinstance(records, dict) or not _any_lmdb(data):
        return
    for split, of in records.items():
        here = identity(data, split)
        there = (data / f"{split}_lmdb" / "data.mdb").is_file()
        if not there or here and isinstance(of, str) and not same(here, of):
            raise OtherData(
                f"{path}: left out, {data} does not hold its {split} records any more; `{again}` makes it anew"
            )


def check(data: Path, split: str, of: str, names, path: Path, again: str) -> None:
    """Raise OtherData unless scores with these `names` and identity `of` belong to the split's records in `data`.

    Without any LMDB there is no other data, so nothing is checked. `again` is the command that makes the scores.
    """
    if not _any_lmdb(data):
        return
    lmdb, here = data / f"{split}_lmdb", identity(data, split)
    if not (lmdb / "data.mdb").is_file():
        each = f" HOLDOUT={max(1, round(len(names) / CLASSES))} REPLACE=1" if split == "holdout" and not here else ""
        raise OtherData(f"{path}: left out, {lmdb} is not there any more; `make lmdb{each}` makes it, then `{again}`")
    if not (same(here, of) if here and of else _has_names(lmdb, names)):
        raise OtherData(f"{path}: left out, {lmdb} holds other records since; `{again}` scores those")


def _has_names(path: Path, names) -> bool:
    """True if an LMDB has records of these names in this order, or cannot be read; others report that."""
    from ensemble.scoring.records import Split  # a late import: it loads Caffe's messages

    try:
        with Split(path) as split:
            return split.names() == list(names)
    except UserError:
        return True
