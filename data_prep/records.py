"""Images to LMDB records of Datum, keyed as Caffe's convert_imageset keys them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import lmdb
import numpy as np
from caffe.proto import caffe_pb2

from data_prep.archive import Reader
from data_prep.decode import CHANNELS, HEIGHT, WIDTH, decode_jpeg
from data_prep.errors import BadImage, DataError
from data_prep.tiny_imagenet import LabelledImage

PIXEL_COUNT = CHANNELS * HEIGHT * WIDTH
_PAGE = 4096


class RecordBatch(NamedTuple):
    """Records in key order, their values end to end in one ``bytes``: one object between processes."""

    keys: list[bytes]
    ends: list[int]
    values: bytes
    pixel_sum: np.ndarray
    bad: list[str]


def record_key(index: int, name: str) -> bytes:
    """``%08d_<name>``, for example ``00000042_test/images/test_42.JPEG``. Sorts as the list is ordered."""
    return f"{index:08d}_{name}".encode()


def make_records(reader: Reader, images: Sequence[LabelledImage], first: int, encoded: bool) -> RecordBatch:
    """The records of ``images``, the first of which has number ``first`` in its list, and their pixels' sum.

    Values are Datum (3, 64, 64): raw bytes B, G, R plane by plane, or with ``encoded`` the JPEG file as it
    is. ``pixel_sum`` is int64 (12288,). An image that does not decode is named in ``bad``; its number stays
    unused, as with convert_imageset.
    """
    keys, ends, values, planes, bad = [], [], bytearray(), bytearray(), []
    for index, (entry, label) in enumerate(images, start=first):
        try:
            file = reader.read(entry)
            pixels = decode_jpeg(file, entry.name)
        except BadImage as error:
            bad.append(str(error))
            continue
        # encoded is written out when false too, as convert_imageset does: records are then equal byte for
        # byte.
        datum = caffe_pb2.Datum(channels=CHANNELS, height=HEIGHT, width=WIDTH, label=label, encoded=encoded)
        datum.data = file if encoded else pixels
        planes += pixels
        values += datum.SerializeToString()
        keys.append(record_key(index, entry.name))
        ends.append(len(values))
    # uint32 holds the sum of 16 million bytes; a batch is far smaller.
    pixel_sum = np.frombuffer(planes, np.uint8).reshape(-1, PIXEL_COUNT).sum(axis=0, dtype=np.uint32)
    return RecordBatch(keys, ends, bytes(values), pixel_sum.astype(np.int64), bad)


def disk_bytes(images: Sequence[LabelledImage], encoded: bool) -> int:
    """About what an LMDB of these records takes on disk: whole 4 KiB pages for each value, and one for its
    key.
    """
    if encoded:
        pages = sum(-(-(image.entry.size + 64) // _PAGE) for image in images)
    else:
        pages = len(images) * -(-(PIXEL_COUNT + 64) // _PAGE)
    return pages * _PAGE + len(images) * 160 + (1 << 20)


class RecordWriter:
    """A new LMDB, filled in key order.

    Appending to a B-tree in order needs no search and fills its pages. The map grows when it is full, so its
    size is no limit to foresee. Nothing is synced before ``close``.
    """

    def __init__(self, folder: Path, map_bytes: int = 64 << 20):
        self._environment = lmdb.open(str(folder), map_size=map_bytes, subdir=True, sync=False, metasync=False)

    def append(self, batch: RecordBatch) -> None:
        """Write one batch, in one transaction. Keys must come after all that are there."""
        values = memoryview(batch.values)
        starts = [0, *batch.ends]
        items = [(key, values[start:end]) for key, start, end in zip(batch.keys, starts, batch.ends, strict=False)]
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    _, added = transaction.cursor().putmulti(items, append=True)
                if added != len(items):
                    raise DataError(f"{self._environment.path()}: keys are not in order")
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def close(self) -> None:
        """Write everything to disk and close."""
        self._environment.sync(True)
        self._environment.close()

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            with suppress(lmdb.Error):
                self._environment.close()


def count_records(folder: Path) -> int:
    """How many records the LMDB at ``folder`` holds."""
    with lmdb.open(str(folder), readonly=True, lock=False) as environment:
        return environment.stat()["entries"]
