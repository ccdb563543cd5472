"""Writes records to a new LMDB."""

from collections.abc import Sequence
from pathlib import Path

import lmdb

from data_prep.archive import Reader
from data_prep.records import RECORD_BYTES, RecordBatch
from data_prep.staging import WriteBehind
from data_prep.tiny_imagenet import LabelledImage
from harness.errors import UserError

_PAGE = 4096


def disk_bytes(reader: Reader, images: Sequence[LabelledImage], encoded: bool) -> int:
    """The approximate disk size of these records' LMDB: whole 4 KiB pages for each value, one for its key."""
    if encoded:
        pages = sum(-(-(reader.size(image.entry) + 64) // _PAGE) for image in images)
    else:
        pages = len(images) * -(-(RECORD_BYTES + 64) // _PAGE)
    return pages * _PAGE + len(images) * 160 + (1 << 20)


class RecordWriter:
    """A new LMDB, filled in key order.

    Appending to a B-tree in order needs no search and fills its pages. ``map_bytes`` is no limit: the map
    grows when it is full. ``behind`` writes its data to disk early, and ``staged_folder`` completes that.

    Attributes:
        count: records appended so far.
    """

    def __init__(self, folder: Path, map_bytes: int, behind: WriteBehind):
        self.count = 0
        self._folder = folder
        self._behind = behind
        self._environment = lmdb.open(str(folder), map_size=map_bytes, subdir=True, sync=False, metasync=False)

    def append(self, batch: RecordBatch) -> None:
        """Write one batch, in one transaction, and read it back. Keys must come after all existing ones.

        Raises ``UserError`` if they do not, or if the data that is read back differs.
        """
        values = memoryview(batch.values)
        items = [(key, values[start:end]) for key, (start, end) in zip(batch.keys, batch.bounds, strict=True)]
        self._put(items)
        with self._environment.begin() as transaction:
            for key, value in items:
                # As bytes, values compare ten times as fast as memoryviews do.
                if transaction.get(key) != bytes(value):
                    raise UserError(
                        f"{self._folder}: record {key.decode()} is read back as another; is the disk sound?"
                    )
        self.count += len(items)
        self._behind.wrote(self._folder / "data.mdb", sum(end - start for start, end in batch.bounds))

    def _put(self, items: list[tuple[bytes, memoryview]]) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    _, added = transaction.cursor().putmulti(items, append=True)
                if added != len(items):
                    raise UserError(f"{self._folder}: keys are not in order")
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._environment.close()


def count_records(folder: Path) -> int:
    """The number of records in the LMDB at ``folder``, counted one by one."""
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return sum(1 for _ in transaction.cursor().iternext(keys=True, values=False))
