"""Records of an LMDB in the order of their keys, read one by one or kept in a device's memory."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from caffe._data.datum import parse_datums, stack_pixels
from caffe._data.lmdb_file import open_lmdb
from caffe._error import DataError
from caffe._log import logger
from caffe._workers.multi_solver import ALL, Share
from caffe.proto import caffe_pb2

_AT_ONCE = 16  # records read at once


class RecordCursor:
    """Reads an LMDB's Datum records in the order of their keys, and starts again at the end.

    The cursor keeps the records of its start, even if the LMDB is written or removed later.

    Args:
        source: the LMDB's folder.

    Raises:
        DataError: the LMDB is missing, empty or broken.
    """

    def __init__(self, source: str):
        self.source = source
        self._file = open_lmdb(source)
        self._next = 0
        if not len(self):
            raise DataError(f"Data source {source} is empty: it has no records.")

    def __len__(self) -> int:
        return len(self._file)

    @property
    def key(self) -> bytes:
        """Key of the next record."""
        with self._file:
            return self._file.key(self._next)

    def seek(self, key: bytes) -> None:
        """Make the record with this key the next one."""
        with self._file:
            found = self._file.find(key)
        self._next = found or 0
        if found is None:
            raise DataError(f"Data source {self.source} has no record {key!r}: it is another one than before.")

    def where(self, key: bytes) -> str:
        """A record's name, for the start of a message."""
        return f"Data source {self.source}, record {key.decode(errors='replace')}"

    def peek(self) -> caffe_pb2.Datum:
        """The next record, which stays the next one."""
        return self._read([self._next])[1][0]

    def to_the_end(self) -> Iterator[caffe_pb2.Datum]:
        """Yield the next record and all after it; meanwhile ``key`` is the current record's key."""
        for begin in range(self._next, len(self), _AT_ONCE):
            places = range(begin, min(begin + _AT_ONCE, len(self)))
            _, datums = self._read(places)
            for self._next, datum in zip(places, datums, strict=True):
                yield datum

    def identity(self) -> str:
        """Number of records, first and last key, and a hash of these two records; the cursor stays."""
        hashed = hashlib.sha256()
        with self._file:
            keys = []
            for at in (0, len(self) - 1):
                keys.append(self._file.key(at).decode(errors="replace"))
                hashed.update(self._file.value(at))
        return f"{len(self)} records, {keys[0]} to {keys[1]} ({hashed.hexdigest()[:12]})"

    def take(self, count: int, share: Share = ALL) -> tuple[list[bytes], list[caffe_pb2.Datum]]:
        """Return the next ``count`` records and their keys, and move past them; the end wraps to the start.

        Args:
            share: one solver's part of the next ``count`` times as many records. The cursor moves past all of
                them. After all solvers took theirs, the same record is next for all.
        """
        total, end = len(self), self._next + count * share.count
        found = self._read([at % total for at in range(self._next + share.rank, end, share.count)])
        for _ in range(end // total):
            logger.info("Restarting data prefetching from start.")
        self._next = end % total
        return found

    def _read(self, places: Sequence[int]) -> tuple[list[bytes], list[caffe_pb2.Datum]]:
        with self._file as file:
            keys = list(map(file.key, places))
            return keys, parse_datums(map(file.value, places), lambda index: self.where(keys[index]))


class ResidentRecords:
    """All records of an LMDB in a device's memory, because waiting for the host would starve the device.

    Attributes:
        keys: the records' keys, in order.
        pixels: uint8 (number of records, channels, height, width).
        labels: float32 (number of records).
        next: index of the next record.
    """

    _CHUNK = 1000

    def __init__(self, keys: list[bytes], pixels: torch.Tensor, labels: torch.Tensor):
        self.keys, self.pixels, self.labels = keys, pixels, labels
        self.next = 0

    @classmethod
    def load(cls, source: str, device: torch.device, room: int) -> "ResidentRecords | None":
        """Read an LMDB; None if it takes more than ``room`` bytes, or its records are not images of one size.

        Raises:
            DataError: a record is broken.
        """
        cursor = RecordCursor(source)
        first, count = cursor.peek(), len(cursor)
        shape = (first.channels, first.height, first.width)
        if first.encoded or not first.data or count * len(first.data) > room:
            return None
        logger.info("Reading %d records of %s into the memory of %s", count, source, device)
        keys: list[bytes] = []
        labels = np.empty(count, np.float32)
        pixels = torch.empty((count, *shape), dtype=torch.uint8, device=device)
        for start in range(0, count, cls._CHUNK):
            some, datums = cursor.take(min(cls._CHUNK, count - start))
            if any(d.encoded or not d.data or (d.channels, d.height, d.width) != shape for d in datums):
                logger.info("They differ in size or kind: they stay where they are.")
                return None
            pixels[start : start + len(some)] = torch.from_numpy(
                stack_pixels(datums, list(map(cursor.where, some))).copy()
            )
            labels[start : start + len(some)] = [datum.label for datum in datums]
            keys += some
        return cls(keys, pixels, torch.from_numpy(labels).to(device))

    @property
    def key(self) -> bytes:
        """Key of the next record."""
        return self.keys[self.next]

    def seek(self, key: bytes) -> None:
        """Make the record with this key the next one; the LMDB must have it."""
        self.next = self.keys.index(key)

    def take(self, count: int, share: Share = ALL) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pixels and labels of the next ``count`` records, chosen as by :meth:`RecordCursor.take`."""
        start, total = self.next, len(self.keys)
        end = start + count * share.count
        self.next = end % total
        if end <= total:
            places = slice(start + share.rank, end, share.count)
        else:
            places = torch.arange(start + share.rank, end, share.count, device=self.pixels.device) % total
        return self.pixels[places], self.labels[places]
