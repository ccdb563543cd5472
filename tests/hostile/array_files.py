"""Means, weights and rows of numbers, in protobuf and HDF5."""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from caffe import TEST
from caffe._error import DataError, SnapshotError
from caffe._files import hdf5
from caffe._files.blobproto import RAW, from_array
from caffe._log import logger
from caffe._snapshot.solver_state import SolverState
from caffe.proto import caffe_pb2

from .artifact import Artifact, Found
from .net_files import NET

_WEIGHTS = {"conv": [(4, 3, 3, 3), (4,)], "ip": [(5, 24), (5,)]}


def _values(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _make_mean(folder: Path) -> Path:
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=5, width=4, data=_values((60,)).tolist())
    return _write(folder / "mean.binaryproto", blob.SerializeToString())


def _read_mean(path: Path) -> Found:
    from caffe._data.transformer import DataTransformer

    mean = DataTransformer(caffe_pb2.TransformationParameter(mean_file=str(path)), training=False).mean
    return mean.shape, mean.tobytes()


class _Said(Exception):
    """A warning in the log, which `caffe test` writes in cases where real Caffe is silent."""


@contextlib.contextmanager
def _said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def make_model(folder: Path) -> Path:
    (folder / "net.prototxt").write_text(NET)
    model = RAW["NetParameter"](name="small")
    for name, shapes in _WEIGHTS.items():
        layer = model.layer.add(name=name, type="Convolution" if name == "conv" else "InnerProduct")
        for shape in shapes:
            from_array(layer.blobs.add(), _values(shape))
    return _write(folder / "small_iter_10.caffemodel", model.SerializeToString())


def _read_model(path: Path) -> Found:
    from caffe._net.net import Net

    net = Net(path.parent / "net.prototxt", TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = 0
    with _said() as lines:
        net.copy_from(path)
    if lines:
        raise _Said(lines[0])
    # An unchanged parameter is one that the damage removed from the file.
    copied = [bool(blob.data.any()) for blobs in net.params.values() for blob in blobs]
    return copied, [blob.data.tobytes() for blobs in net.params.values() for blob in blobs]


def _make_hdf5_model(folder: Path) -> Path:
    (folder / "net.prototxt").write_text(NET)

    def fill(file: h5py.File) -> None:
        for name, shapes in _WEIGHTS.items():
            group = file.create_group(f"data/{name}")
            for index, shape in enumerate(shapes):
                group[str(index)] = _values(shape)

    return _write(folder / "small_iter_10.caffemodel.h5", hdf5.to_bytes(fill))


def state() -> SolverState:
    history = [_values(shape) for shapes in _WEIGHTS.values() for shape in shapes]
    return SolverState(10, 1, "small_iter_10.caffemodel", history)


def _read_state(path: Path) -> Found:
    state = SolverState.read(path)
    shapes = [values.shape for values in state.history]
    return shapes, (state.iter, state.current_step, state.learned_net, [v.tobytes() for v in state.history])


def _make_hdf5_data(folder: Path) -> Path:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["data"] = _values((6, 3, 4))
        file.create_dataset("label", data=np.arange(6, dtype=np.float64), chunks=(4,), compression="gzip")
    path = _write(folder / "rows.h5", memory.getvalue())
    (folder / "list.txt").write_text(f"{path}\n")
    return path


def _read_hdf5_data(path: Path) -> Found:
    from tests.engine.build import make_layer

    layer = make_layer(
        f'type: "HDF5Data" top: "data" top: "label" hdf5_data_param {{ source: "{path.parent}/list.txt" batch_size: 4 }}'
    )
    tops = layer.forward([], [])
    return [tuple(top.shape) for top in tops], [top.numpy().tobytes() for top in tops]


ARRAY_FILES = {
    "binaryproto": Artifact(_make_mean, _read_mean, (DataError,)),
    "caffemodel": Artifact(make_model, _read_model, (SnapshotError, _Said)),
    "caffemodel.h5": Artifact(_make_hdf5_model, _read_model, (SnapshotError, _Said)),
    "solverstate.h5": Artifact(
        lambda folder: _write(folder / "small_iter_10.solverstate.h5", state().to_hdf5_bytes()),
        _read_state,
        (SnapshotError,),
    ),
    "HDF5 data": Artifact(_make_hdf5_data, _read_hdf5_data, (DataError,)),
}
