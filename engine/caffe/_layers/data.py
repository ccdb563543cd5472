"""Data: records of an LMDB (Caffe's data_layer.cpp)."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from caffe import _device, _rng
from caffe._datum import datum_to_image, parse_datum
from caffe._error import DataError
from caffe._layers.base import Layer, register
from caffe._lmdb_file import open_lmdb, reading
from caffe._log import logger
from caffe._transformer import DataTransformer
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

    def peek(self) -> caffe_pb2.Datum:
        """The next record, without going on."""
        return parse_datum(self._cursor.value(), f"Data source {self.source}: record {self.key!r}")

    def to_the_end(self) -> Iterator[caffe_pb2.Datum]:
        """The next record and all after it; while one is looked at, ``key`` is its key."""
        yield self.peek()
        while self._next():
            yield self.peek()

    def advance(self) -> None:
        """Go on to the record after the next one, and round at the end."""
        if not self._next():
            logger.info("Restarting data prefetching from start.")
            self._cursor.first()

    def _next(self) -> bool:
        with reading(self.source):
            return self._cursor.next()


@register("Data")
class Data(Layer):
    """Batches of records, transformed, in the order of the LMDB's keys; crop_size lets them differ in size.

    Tops: data (batch_size, channels, height, width); if a second is named, labels (batch_size).
    """

    bottoms = (0, 0)
    tops = (1, 2)

    def setup(self, bottom):
        param = self.param.data_param
        if param.backend != caffe_pb2.DataParameter.LMDB:
            raise self.error("only backend: LMDB is supported; convert the LEVELDB")
        if param.batch_size < 1:
            raise self.error("batch_size must be 1 or more")
        self.batch_size = param.batch_size
        self.cursor = RecordCursor(param.source)
        self.transformer = DataTransformer(self.param.transform_param, self.training)
        first = self._image(self.cursor.peek())
        self.transformer.check(first.shape, self._where())
        self.record_shape = first.shape

    def _where(self) -> str:
        return f"{self.cursor.source}, record {self.cursor.key.decode(errors='replace')}"

    def _image(self, datum: caffe_pb2.Datum) -> np.ndarray:
        return datum_to_image(datum, self.param.transform_param, self._where())

    def top_shapes(self, bottom):
        data = (self.batch_size, *self.transformer.shape(self.record_shape))
        return [data, (self.batch_size,)][: len(self.param.top)]

    def forward(self, bottom, weights):
        images, labels = [], np.empty(self.batch_size, np.float32)
        for index in range(self.batch_size):
            datum = self.cursor.peek()
            labels[index] = datum.label
            images.append(self._image(datum))
            if images[-1].shape != self.record_shape:
                self.transformer.check(images[-1].shape, self._where())
            self.cursor.advance()
        self.record_shape = images[0].shape
        device = _device.current()
        return [self.transformer.batch(images, device, f"Layer '{self.name}'"), torch.from_numpy(labels).to(device)][
            : len(self.param.top)
        ]

    def get_state(self):
        return {
            "next_key": self.cursor.key.decode("latin-1"),
            "random": _rng.get_state(self.transformer.random),
        }

    def set_state(self, state):
        self.cursor.seek(state["next_key"].encode("latin-1"))
        _rng.set_state(self.transformer.random, state["random"])
