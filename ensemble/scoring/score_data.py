"""Whether scores are of the records that data/lmdb holds now: those of data that was removed or replaced are not shown.

A score file says what identifies the records of its split, as build.json of `make lmdb` did when they were scored.
Where one of them does not say, as for an LMDB of other tools, the names of the images decide.
"""

from __future__ import annotations

import json
from pathlib import Path

from ensemble.rule import CLASSES
from harness.errors import UserError

DATA = Path("data/lmdb")
#: Fields of build.json that identify a split, from what a person sees to what only the pixels show.
_FIELDS = ("lists_sha256", "pixels_sha256")


class OtherData(UserError):
    """Scores of records that are not there any more."""


def identity(data: Path, split: str) -> str:
    """What identifies the records of a split: digests, "" where build.json does not say."""
    try:
        build = json.loads((data / "build.json").read_text(encoding="utf-8"))
        found = [build[field][split] for field in _FIELDS if field in build]
        return " ".join(found) if all(isinstance(each, str) for each in found) else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def same(one: str, other: str) -> bool:
    """Whether two identities are of the same records, as far as both say."""
    return all(first == second for first, second in zip(one.split(), other.split()))


def _any_lmdb(data: Path) -> bool:
    return any(path.is_file() for path in data.glob("*_lmdb/data.mdb"))


def check_records(data: Path, records: object, path: Path, again: str) -> None:
    """Raise OtherData where a file made from scores says that these were of other records than `data` holds.

    `records` is what it says: an identity for each split; files of before that was written say nothing.
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
    """Raise OtherData unless scores of these `names`, with the identity `of`, are of the split's records in `data`.

    Without any LMDB there is nothing that they could be mistaken for. `again` is the command that makes the scores.
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
    """Whether an LMDB has records of these names in this order; also where it cannot be read, which others tell."""
    from ensemble.scoring.records import Split  # imports Caffe's messages

    try:
        with Split(path) as split:
            return split.names() == list(names)
    except UserError:
        return True
