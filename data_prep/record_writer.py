"""Records to a new LMDB."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import lmdb

from data_prep.errors import DataError
from data_prep.records import RECORD_BYTES, RecordBatch
from data_prep.tiny_imagenet import LabelledImage

_PAGE = 4096


def disk_bytes(images: Sequence[LabelledImage], encoded: bool) -> int:
    """About what an LMDB of these records takes on disk: whole 4 KiB pages for each value, and one for its
    key.
    """
    if encoded:
        pages = sum(-(-(image.entry.size + 64) // _PAGE) for image in images)
    else:
        pages = len(images) * -(-(RECORD_BYTES + 64) // _PAGE)
    return pages * _PAGE + len(images) * 160 + (1 << 20)


class RecordWriter:
    """A new LMDB, filled in key order.

    Appending to a B-tree in order needs no search and fills its pages. ``map_bytes`` is no limit: the map
    grows when it is full. Nothing is forced to disk here: that is ``staged_folder``'s, for all files at once.

    Attributes:
        count: records appended so far.
        checksum: of their keys and values, for :func:`check_records`.
    """

    def __init__(self, folder: Path, map_bytes: int = 64 << 20):
        self.count = self.checksum = 0
        self._environment = lmdb.open(str(folder), map_size=map_bytes, subdir=True, sync=False, metasync=False)

    def append(self, batch: RecordBatch) -> None:
        """Write one batch, in one transaction. Keys must come after all that are there."""
        values = memoryview(batch.values)
        items = [(key, values[start:end]) for key, (start, end) in zip(batch.keys, batch.bounds, strict=True)]
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    _, added = transaction.cursor().putmulti(items, append=True)
                if added != len(items):
                    raise DataError(f"{self._environment.path()}: keys are not in order")
                break
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
        for key, value in items:
            self.checksum = zlib.crc32(value, zlib.crc32(key, self.checksum))
        self.count += len(items)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._environment.close()


def check_records(folder: Path, count: int, checksum: int) -> None:
    """Read the LMDB at ``folder`` back. Raises ``DataError`` when it does not hold what a writer appended."""
    found_count = found = 0
    with (
        lmdb.open(str(folder), readonly=True, lock=False) as environment,
        environment.begin(buffers=True) as transaction,
    ):
        for key, value in transaction.cursor():
            found = zlib.crc32(value, zlib.crc32(key, found))
            found_count += 1
    if (found_count, found) != (count, checksum):
        raise DataError(
            f"{folder}: {count} records were written and other ones read back; is the disk sound? Build again"
        )
