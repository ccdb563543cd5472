"""The images of a reproduction: the records of each split, and whether they are all of Tiny ImageNet."""

import json
from dataclasses import dataclass
from pathlib import Path

import lmdb

from data_prep import source
from data_prep.dataset import DEFAULT_ZIP, find
from data_prep.record_writer import count_records
from data_prep.tiny_imagenet import TinyImageNet
from reproduce import steps

SPLITS = ("train", "val", "test", "holdout")
WHOLE = {"train": 100_000, "val": 10_000, "test": 10_000}  # report, section 2


@dataclass(frozen=True)
class Images:
    """The images of one reproduction."""

    where: str
    records: dict[str, int]
    left_out: int = 0  # images that do not decode, which make lmdb leaves out and names

    @property
    def whole(self) -> bool:
        """True if these are all train and val images of Tiny ImageNet; training needs no test images."""
        found = sum(self.records.get(split, 0) for split in SPLITS if split != "test")
        return found + self.left_out >= WHOLE["train"] + WHOLE["val"]

    def told(self) -> str:
        counts = ", ".join(f"{self.records[split]:,} {split}" for split in SPLITS if self.records.get(split))
        of = ", ".join(f"{count:,} {split}" for split, count in WHOLE.items())
        all_of_it = "all of Tiny ImageNet" if self.whole else f"not all of Tiny ImageNet, which has {of}"
        return f"data: {self.where}: {counts or 'no'} images: {all_of_it}"


def images(data: Path, root: Path) -> Images:
    """The images of the LMDBs in `data`, otherwise of the source from which `root` builds them.

    Without any source, this is the official zip, which is to be downloaded.

    Raises:
        UserError: the source is gone, has changed, or is not whole.
    """
    if (built := steps.records(data)) is not None:
        build = json.loads((data / "build.json").read_text(encoding="utf-8"))
        left_out = build.get("left_out")
        return Images(f"{_short(data)}, built from {build.get('source', 'an unknown set')}", built,
                      len(left_out) if isinstance(left_out, list) else 0)  # fmt: skip
    if data != root / steps.DATA:
        return Images(_short(data), {split: _count(data / f"{split}_lmdb") for split in SPLITS})
    folder = root / DEFAULT_ZIP
    if not source.named() and source.remembered(folder.parent) is None and not folder.exists():
        return Images("the official zip, to be downloaded", WHOLE)
    path = find(folder)
    found = TinyImageNet.open(path)
    counts = {"train": len(found.train), "val": len(found.val), "test": len(found.test)}
    return Images(f"{_short(path)}, of which LMDBs are to be built", counts)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _count(path: Path) -> int:
    try:
        return count_records(path) if (path / "data.mdb").is_file() else 0
    except lmdb.Error:
        return 0
