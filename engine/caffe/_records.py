"""Records of an LMDB, in the order of their keys: one after the other, or all in a device's memory."""

import hashlib
import weakref
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from caffe._datum import parse_datum, stack_pixels
from caffe._error import DataError
from caffe._lmdb_file import open_lmdb, reading
from caffe._log import logger
from caffe._multi_solver import ALL, Share
from caffe.proto import caffe_pb2


class _Environment:
    """An LMDB opened once in a process, as LMDB demands, though several nets read it."""

    _open: weakref.WeakValueDictionary = weakref.WeakValueDictionary()

    def __init__(self, source: str):
        self.env = open_lmdb(source)
        self.txn = self.env.begin()

    @classmethod
    def of(cls, source: str) -> "_Environment":
        key = str(Path(source).resolve())
        found = cls._open.get(key)
        if found is None:
            found = cls._open[key] = cls(source)
        return found


class RecordCursor:
    """Reads an LMDB's Datum records in the order of their keys, from the start again at the end.

    Args:
        source: the LMDB's folder.

    Raises:
        DataError: it is missing, empty or broken.
    """

    def __init__(self, source: str):
        self.source = source
        self._environment = _Environment.of(source)
        self._cursor = self._environment.txn.cursor()
        with reading(source):
            found = self._cursor.first()
        if not found:
            raise DataError(f"Data source {source} is empty: it has no records.")

    def __len__(self) -> int:
        return self._environment.txn.stat()["entries"]

    @property
    def key(self) -> bytes:
        """Key of the record that is next."""
        return self._cursor.key()

    def seek(self, key: bytes) -> None:
        """Make the record with this key the next one."""
        with reading(self.source):
            found = self._cursor.set_key(key)
        if not found:
            self._cursor.first()
            raise DataError(f"Data source {self.source} has no record {key!r}: it is another one than before.")

    def where(self, key: bytes) -> str:
        """A record, for the start of a message."""
        return f"Data source {self.source}, record {key.decode(errors='replace')}"

    def peek(self) -> caffe_pb2.Datum:
        """The next record, without going on."""
        return parse_datum(self._cursor.value(), self.where(self.key))

    def to_the_end(self) -> Iterator[caffe_pb2.Datum]:
        """The next record and all after it; while one is looked at, ``key`` is its key."""
        yield self.peek()
        while self._next():
            yield self.peek()

    def identity(self) -> str:
        """Number of records, first and last key, and a hash of these two records; the next record stays the next."""
        here, hashed = self.key, hashlib.sha256()
        with reading(self.source):
            keys = []
            for go in (self._cursor.first, self._cursor.last):
                go()
                keys.append(self.key.decode(errors="replace"))
                hashed.update(self._cursor.value())
            self._cursor.set_key(here)
        return f"{len(self)} records, {keys[0]} to {keys[1]} ({hashed.hexdigest()[:12]})"

    def take(self, count: int, share: Share = ALL) -> tuple[list[bytes], list[caffe_pb2.Datum]]:
        """The next ``count`` records and their keys; goes on past them, and from the start again at the end.

        Args:
            share: of the next ``count`` times as many for each solver, which ones; goes on past all of them, so
                that where all solvers took theirs, the same record is next for all.
        """
        keys, datums = [], []
        cursor = self._cursor
        with reading(self.source):
            for place in range(count * share.count):
                if place % share.count == share.rank:
                    key = cursor.key()
                    keys.append(key)
                    datums.append(parse_datum(cursor.value(), self.where(key)))
                if not cursor.next():
                    logger.info("Restarting data prefetching from start.")
                    cursor.first()
        return keys, datums

    def _next(self) -> bool:
        with reading(self.source):
            return self._cursor.next()


class ResidentRecords:
    """All records of an LMDB in a device's memory, for what would starve if it waited for the host.

    Attributes:
        keys: of the records, in order.
        pixels: uint8 (number of records, channels, height, width).
        labels: float32 (number of records).
        next: index of the record that is next.
    """

    _CHUNK = 1000

    def __init__(self, keys: list[bytes], pixels: torch.Tensor, labels: torch.Tensor):
        self.keys, self.pixels, self.labels = keys, pixels, labels
        self.next = 0

    @classmethod
    def load(cls, source: str, device: torch.device, room: int) -> "ResidentRecords | None":
        """Read an LMDB; None where it takes more than ``room`` bytes, or its records are no images of one size.

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
        """Key of the record that is next."""
        return self.keys[self.next]

    def seek(self, key: bytes) -> None:
        """Make the record with this key the next one; the LMDB is known to have it."""
        self.next = bisect_left(self.keys, key)

    def take(self, count: int, share: Share = ALL) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels and labels of the next ``count`` records, as :meth:`RecordCursor.take` has them."""
        start, total = self.next, len(self.keys)
        end = start + count * share.count
        self.next = end % total
        if end <= total:
            places = slice(start + share.rank, end, share.count)
        else:
            places = torch.arange(start + share.rank, end, share.count, device=self.pixels.device) % total
        return self.pixels[places], self.labels[places]
