"""Writes small LMDBs of Datum records for tests, apart from the project's own data_prep."""

from collections.abc import Iterable
from pathlib import Path

import lmdb
import numpy as np
from caffe.proto import caffe_pb2


def datum(image: np.ndarray | bytes, label: int = 0) -> caffe_pb2.Datum:
    """A record of an image: (channels, height, width) uint8 or float, or an encoded file's bytes."""
    if isinstance(image, bytes):
        return caffe_pb2.Datum(data=image, encoded=True, label=label)
    channels, height, width = image.shape
    record = caffe_pb2.Datum(channels=channels, height=height, width=width, label=label)
    if image.dtype == np.uint8:
        record.data = image.tobytes()
    else:
        record.float_data.extend(image.ravel().tolist())
    return record


def write_lmdb(folder: Path, records: Iterable[caffe_pb2.Datum | bytes], keys: Iterable[str] | None = None) -> Path:
    """An LMDB with these records under keys 00000000, 00000001, ... (or the keys given)."""
    contents = [r if isinstance(r, bytes) else r.SerializeToString() for r in records]
    names = [f"{i:08d}" for i in range(len(contents))] if keys is None else list(keys)
    with lmdb.open(str(folder), map_size=1 << 24) as env, env.begin(write=True) as txn:
        for name, content in zip(names, contents, strict=True):
            txn.put(name.encode(), content)
    return folder


def positions(height: int, width: int, channels: int = 3) -> np.ndarray:
    """An image (uint8) that says where each of its values stood: channel, row and column."""
    image = np.arange(height * width).reshape(1, height, width)
    assert channels * height * width <= 256
    return (image + height * width * np.arange(channels)[:, None, None]).astype(np.uint8)
