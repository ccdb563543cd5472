"""Reads a split: batches of images, labels and names from an LMDB of Datum, and the mean image."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import lmdb
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError
from PIL import Image

from harness.errors import UserError
from harness.files import read_message
from harness.orientation import upright

try:
    from lmdb import verify
except ImportError:  # py-lmdb before version 3, as on real Caffe's machine
    verify = None


class Batch(NamedTuple):
    """Consecutive records."""

    images: np.ndarray  #: uint8 (n, C, H, W), BGR
    labels: np.ndarray  #: int64 (n,)
    names: list[str]


def read_mean(path: Path) -> np.ndarray:
    """The mean image of a binaryproto, float32 (C, H, W)."""
    if not path.is_file():
        raise UserError(f"{path}: no mean image; `make lmdb` makes it")
    blob = read_message(path, caffe_pb2.BlobProto, "mean image", "`make lmdb` makes it")
    # Caffe 1.0 itself writes the four old fields; other writers use `shape`.
    dims = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    mean = np.array(blob.data, dtype=np.float32)
    # Python's integers: sizes made to overflow must not pass for the right ones.
    if len(dims) < 3 or min(dims) < 1 or math.prod(dims[:-3]) != 1 or mean.size != math.prod(dims):
        raise UserError(f"{path}: {mean.size} numbers of shape {dims}, not one image; `make lmdb` makes it")
    return mean.reshape(dims[-3:])


def _is_cut(path: Path) -> list[str]:
    """Problems with the length of an LMDB's file, which must hold every page up to the last one it lists."""
    with open(path, "rb") as file:
        first = file.read(152)
        page_bytes = int.from_bytes(first[40:44], "little")
        file.seek(page_bytes)
        # The first two pages are written alternately. Each holds the last page's number before its transaction's.
        newest = max((meta[144:152][::-1], meta[136:144]) for meta in (first, file.read(152)))
    pages = int.from_bytes(newest[1], "little") + 1
    if path.stat().st_size >= page_bytes * pages > 0:
        return []
    return [f"{pages} pages of {page_bytes} bytes are not there"]


class Split:
    """An LMDB, open for reading; `len()` is its number of records. `limit` takes the first of them.

    With a `seed` the `limit` records are drawn at random, but kept in order.
    """

    def __init__(self, path: Path, limit: int | None = None, seed: int | None = None):
        self.path = path
        self._limit = limit
        self._seed = seed
        target = "`make lmdb HOLDOUT=50`" if path.name.startswith("holdout") else "`make lmdb`"
        if not (path / "data.mdb").is_file():
            raise UserError(f"{path}: no LMDB; {target} makes it")
        self._again = f"{target} builds it again"
        self._check_pages()
        with self._reading():
            self._env = lmdb.open(str(path), readonly=True, lock=False)
        if len(self) == 0:
            self._env.close()
            raise UserError(f"{path}: an empty LMDB; {target} makes it")

    def _check_pages(self) -> None:
        """Raise UserError if the file is cut or its pages are damaged; liblmdb trusts them and ends the process.

        With py-lmdb 3 its own verifier checks every page. Older versions only allow a check of the length.
        """
        path = self.path / "data.mdb"
        try:
            problems = verify.verify(str(path)) if verify else _is_cut(path)
        except Exception as error:
            problems = [str(error)]
        if problems:
            raise UserError(f"{path}: cut or damaged ({problems[0]}); {self._again}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn an error of liblmdb into UserError."""
        try:
            yield
        except lmdb.Error as error:
            raise UserError(f"{self.path}: not a whole LMDB ({error}); {self._again}") from error

    def __len__(self) -> int:
        entries = self._env.stat()["entries"]
        return entries if self._limit is None else min(entries, self._limit)

    def __enter__(self) -> Split:
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()

    def batches(self, size: int, shape: tuple[int, ...]) -> Iterator[Batch]:
        """All records in order, `size` at a time (the last batch may be smaller); `shape` is (C, H, W)."""
        with self._reading(), self._env.begin() as transaction:
            records = self._records(transaction)
            for start in range(0, len(self), size):
                yield self._batch(records, min(size, len(self) - start), shape)

    def _records(self, transaction) -> Iterator[tuple[bytes, bytes]]:
        if self._seed is None:
            yield from islice(transaction.cursor(), len(self))
            return
        keys = list(transaction.cursor().iternext(keys=True, values=False))
        drawn = np.random.RandomState(self._seed).permutation(len(keys))[: len(self)]
        for at in np.sort(drawn):
            yield keys[at], transaction.get(keys[at])

    def names(self) -> list[str]:
        """The images' names, in order."""
        with self._reading(), self._env.begin() as transaction:
            keys = transaction.cursor().iternext(keys=True, values=False)
            return [key.decode(errors="replace").partition("_")[2] for key in keys]

    def named(self, names: Collection[str], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """The images with these names, as far as they exist: each uint8 (C, H, W), BGR. `shape` is (C, H, W)."""
        found = {}
        with self._reading(), self._env.begin() as transaction:
            for key in transaction.cursor().iternext(keys=True, values=False):
                key_text = key.decode(errors="replace")
                name = key_text.partition("_")[2]
                if name in names:
                    found[name] = self._image(key_text, transaction.get(key), shape)[0]
        return found

    def _batch(self, records: Iterator[tuple[bytes, bytes]], count: int, shape: tuple[int, ...]) -> Batch:
        # Each image is copied once, to its place. Holding a batch of messages takes six times as long, mostly
        # for new memory.
        images, labels = np.empty((count, *shape), dtype=np.uint8), np.empty(count, dtype=np.int64)
        names = []
        for row, (key, value) in enumerate(islice(records, count)):
            name = key.decode(errors="replace")
            images[row], labels[row] = self._image(name, value, shape)
            names.append(name.partition("_")[2])
        return Batch(images, labels, names)

    def _image(self, key: str, value: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
        try:
            datum = caffe_pb2.Datum.FromString(value)
        except DecodeError as error:
            raise UserError(f"{self.path}: record {key} is not a Datum; `make lmdb`") from error
        data = datum.data
        if datum.encoded:
            return self._decode(key, data, shape), datum.label
        self._check(key, (datum.channels, datum.height, datum.width), len(data), shape)
        return np.frombuffer(data, dtype=np.uint8).reshape(shape), datum.label

    def _decode(self, key: str, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as file:
                # A small file can hold an enormous image. `upright` decodes it, so the size is checked before.
                image = upright(file) if 3 * file.height * file.width <= math.prod(shape) else file
                self._check(key, (3, image.height, image.width), 3 * image.height * image.width, shape)
                rgb = np.asarray(image.convert("RGB"))
        except UserError:
            raise
        except Exception as error:  # Pillow can raise nearly anything for a damaged file
            raise UserError(f"{self.path}: record {key} does not decode ({error}); `make lmdb`") from error
        return rgb[:, :, ::-1].transpose(2, 0, 1)

    def _check(self, key: str, found: tuple[int, ...], size: int, shape: tuple[int, ...]) -> None:
        if found != shape or size != math.prod(shape):
            raise UserError(
                f"{self.path}: record {key} is {found} with {size} bytes, the mean image {shape}; "
                f"`make lmdb` makes both of one size"
            )
