"""The 200 classes: their WordNet ids, words and labels.

A label is the position of the class's id in the sorted list of ids, 0 to 199. For the sample set,
``classes.txt`` holds the ids and words of Tiny ImageNet in the order of its wnids.txt.
"""

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from harness.errors import UserError

CLASS_COUNT = 200
_WNID = re.compile(r"n\d{8}", re.ASCII)


def parse_wnids(text: str, source: str) -> tuple[str, ...]:
    """The ids in wnids.txt, sorted, so that the position is the label. Raises ``UserError`` unless there are 200
    different ids.
    """
    lines = text.split()
    for line in lines:
        if not _WNID.fullmatch(line):
            raise UserError(f"{source}: {line[:40]!r} is not a WordNet id such as n01443537")
    wnids = tuple(sorted(set(lines)))
    if len(lines) != CLASS_COUNT or len(wnids) != CLASS_COUNT:
        raise UserError(
            f"{source}: {len(lines)} classes, {len(wnids)} of them different; Tiny ImageNet has "
            f"{CLASS_COUNT}: restore the official list"
        )
    return wnids


def parse_words(text: str, wnids: Iterable[str], source: str) -> dict[str, str]:
    """The words of each class, from words.txt (``id<TAB>words`` a line, all of WordNet)."""
    wanted = set(wnids)
    words = {}
    for line in text.splitlines():
        wnid, _, names = line.partition("\t")
        if wnid in wanted and names.strip():
            words[wnid] = names.strip()
    missing = sorted(wanted - words.keys())
    if missing:
        raise UserError(f"{source}: no words for {missing[0]} ({len(missing)} of the classes miss theirs)")
    return words


def write_labels(path: Path, wnids: Iterable[str], words: Mapping[str, str]) -> None:
    """Write 200 lines such as ``n01443537 goldfish, Carassius auratus``. The line number from 0 is the label."""
    path.write_text("".join(f"{wnid} {words[wnid]}\n" for wnid in wnids), encoding="utf-8")


def official_classes() -> dict[str, str]:
    """The 200 ids of Tiny ImageNet and their words, in the order of the official wnids.txt."""
    text = resources.files(__package__).joinpath("classes.txt").read_text(encoding="utf-8")
    return dict(line.split("\t", 1) for line in text.splitlines())
