"""The files that the engine reads."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from caffe import TEST, _hdf5
from caffe._blobproto import RAW, from_array
from caffe._error import DataError, NetError, PrototxtError, SnapshotError
from caffe._image import read_image
from caffe._log import logger
from caffe._prototxt import read_net_param, read_solver_param
from caffe._solver_state import SolverState
from caffe.proto import caffe_pb2
from PIL import Image

from tests.engine.records import datum, write_lmdb

from .artifact import Artifact, Found

NET = """name: "small"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
SOLVER = """net: "net.prototxt"
base_lr: 0.01
lr_policy: "multistep"
gamma: 0.1
stepvalue: 20
stepvalue: 30
max_iter: 40
momentum: 0.9
snapshot: 10
snapshot_prefix: "runs/small/small"
"""
_WEIGHTS = {"conv": [(4, 3, 3, 3), (4,)], "ip": [(5, 24), (5,)]}
_LAYERS = ("'in'", "'conv'", "'pool'", "'ip'", "'prob'")


def _values(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _pixels(*shape: int) -> np.ndarray:
    smooth = np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1]) * 2)[..., None] + np.arange(shape[2]) * 40
    return smooth.astype(np.uint8)


def _text(name: str, text: str) -> Callable[[Path], Path]:
    return lambda folder: _write(folder / name, text.encode())


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# ---- prototxts -----------------------------------------------------------------------------------


def _read_net(path: Path) -> Found:
    from caffe._net import Net

    net = Net(path, TEST)
    net.forward()
    return None, {name: blob.shape for name, blob in net.blobs.items()}


# ---- arrays in protobuf and HDF5 -----------------------------------------------------------------


def _make_mean(folder: Path) -> Path:
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=5, width=4, data=_values((60,)).tolist())
    return _write(folder / "mean.binaryproto", blob.SerializeToString())


def _read_mean(path: Path) -> Found:
    from caffe._transformer import DataTransformer

    mean = DataTransformer(caffe_pb2.TransformationParameter(mean_file=str(path)), training=False).mean
    return mean.shape, mean.tobytes()


class _Said(Exception):
    """A warning in the log: what `caffe test` does where real Caffe says nothing."""


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


def _make_model(folder: Path) -> Path:
    (folder / "net.prototxt").write_text(NET)
    model = RAW["NetParameter"](name="small")
    for name, shapes in _WEIGHTS.items():
        layer = model.layer.add(name=name, type="Convolution" if name == "conv" else "InnerProduct")
        for shape in shapes:
            from_array(layer.blobs.add(), _values(shape))
    return _write(folder / "small_iter_10.caffemodel", model.SerializeToString())


def _read_model(path: Path) -> Found:
    from caffe._net import Net

    net = Net(path.parent / "net.prototxt", TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = 0
    with _said() as lines:
        net.copy_from(path)
    if lines:
        raise _Said(lines[0])
    # A parameter that stayed as it was is one that the damage made disappear.
    copied = [bool(blob.data.any()) for blobs in net.params.values() for blob in blobs]
    return copied, [blob.data.tobytes() for blobs in net.params.values() for blob in blobs]


def _make_hdf5_model(folder: Path) -> Path:
    (folder / "net.prototxt").write_text(NET)

    def fill(file: h5py.File) -> None:
        for name, shapes in _WEIGHTS.items():
            group = file.create_group(f"data/{name}")
            for index, shape in enumerate(shapes):
                group[str(index)] = _values(shape)

    return _write(folder / "small_iter_10.caffemodel.h5", _hdf5.to_bytes(fill))


def _state() -> SolverState:
    history = [_values(shape) for shapes in _WEIGHTS.values() for shape in shapes]
    return SolverState(10, 1, "small_iter_10.caffemodel", history)


def _read_state(path: Path) -> Found:
    state = SolverState.read(path)
    shapes = [values.shape for values in state.history]
    return shapes, (state.iter, state.current_step, state.learned_net, [v.tobytes() for v in state.history])


# ---- a snapshot: four files ------------------------------------------------------------------------

_TRAINED = """name: "trained"
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { mirror: true scale: 0.01 }
  data_param { source: "records" batch_size: 3 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def _trainer():
    from caffe._prototxt import parse
    from caffe._solvers import get_solver

    return get_solver(
        parse(
            'net: "trained.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 average_loss: 2 random_seed: 3 '
            'snapshot_prefix: "trained"',
            caffe_pb2.SolverParameter(),
            "here",
        )
    )


def _make_snapshot(ending: str, with_manifest: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        if not (folder / "records").exists():
            write_lmdb(folder / "records", [datum(_pixels(2, 3, 4), i % 4) for i in range(7)])
            (folder / "trained.prototxt").write_text(_TRAINED)
            solver = _trainer()
            solver.step(2)
            solver.snapshot()
            if not with_manifest:
                (folder / "trained_iter_2.manifest.json").unlink()
        return folder / f"trained_iter_2{ending}"

    return make


def _read_snapshot(path: Path) -> Found:
    solver = _trainer()
    solver.restore(path.parent / "trained_iter_2.solverstate")
    solver.step(1)
    return solver.iter, [blob.data.tobytes() for blobs in solver.net.params.values() for blob in blobs]


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


# ---- records and images --------------------------------------------------------------------------


def _make_lmdb(folder: Path) -> Path:
    if (folder / "records" / "data.mdb").exists():
        return folder / "records" / "data.mdb"
    records = [datum(_pixels(3, 50, 40 if i % 3 else 9), i) for i in range(60)]
    return write_lmdb(folder / "records", records) / "data.mdb"


def _read_lmdb(path: Path) -> Found:
    from caffe._datum import datum_to_image
    from caffe._records import RecordCursor

    cursor = RecordCursor(str(path.parent))
    plain, images = caffe_pb2.TransformationParameter(), []
    for record in cursor.to_the_end():
        image = datum_to_image(record, plain, f"{path.parent}, record {cursor.key!r}")
        images.append((cursor.key, record.label, image.tobytes(), image.shape))
    return len(images), images


def _make_image(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        memory = io.BytesIO()
        Image.fromarray(_pixels(30, 41, 3)).save(memory, kind)
        return _write(folder / f"image.{kind.lower()}", memory.getvalue())

    return make


def _read_image(path: Path) -> Found:
    pixels = read_image(path)
    return None, (pixels.shape, pixels.tobytes())


def _make_image_list(folder: Path) -> Path:
    for name in ("a.png", "b c.png"):
        Image.fromarray(_pixels(9, 8, 3)).save(folder / name)
    return _write(folder / "images.txt", f"{folder}/a.png 3\n{folder}/b c.png 1\n".encode())


def _read_image_list(path: Path) -> Found:
    from tests.engine.build import make_layer

    layer = make_layer(f'type: "ImageData" image_data_param {{ source: "{path}" batch_size: 2 }}', tops=2)
    return None, [top.numpy().tobytes() for top in layer.forward([], [])]


def _make_windows(folder: Path) -> Path:
    Image.fromarray(_pixels(20, 30, 3)).save(folder / "a.png")
    lines = [f"# 0\n{folder}/a.png\n3\n20\n30\n3", "1 0.9 2 3 20 15", "2 0.7 0 0 10 12", "1 0.1 5 5 25 18"]
    return _write(folder / "windows.txt", "\n".join(lines).encode() + b"\n")


def _read_windows(path: Path) -> Found:
    from tests.engine.build import make_layer

    layer = make_layer(
        f'type: "WindowData" transform_param {{ crop_size: 8 }} window_data_param {{ source: "{path}" batch_size: 4 }}',
        tops=2,
    )
    return None, [layer.windows.foreground, layer.windows.background, layer.forward([], [])[0].shape]


_MODEL_ERRORS = (SnapshotError,)
_NET_ERRORS = (PrototxtError, NetError, DataError)

ENGINE_FILES = {
    "prototxt": Artifact(
        _text("net.prototxt", NET), lambda path: (None, str(read_net_param(path))), (PrototxtError,)
    ),
    "net": Artifact(_text("net.prototxt", NET), _read_net, _NET_ERRORS, _LAYERS),
    "solver": Artifact(
        _text("solver.prototxt", SOLVER), lambda path: (None, str(read_solver_param(path))), (PrototxtError,)
    ),
    "binaryproto": Artifact(_make_mean, _read_mean, (DataError, SnapshotError)),
    "caffemodel": Artifact(_make_model, _read_model, (*_MODEL_ERRORS, _Said)),
    "caffemodel.h5": Artifact(_make_hdf5_model, _read_model, (*_MODEL_ERRORS, _Said)),
    "solverstate.h5": Artifact(
        lambda folder: _write(folder / "small_iter_10.solverstate.h5", _state().to_hdf5_bytes()),
        _read_state,
        _MODEL_ERRORS,
    ),
    **{
        f"{ending[1:]} of a snapshot{'' if with_manifest else ' without manifest'}": Artifact(
            _make_snapshot(ending, with_manifest), _read_snapshot, _MODEL_ERRORS
        )
        for ending in (".caffemodel", ".solverstate", ".resume.json", ".manifest.json")
        for with_manifest in (True, False)
        if with_manifest or "manifest" not in ending
    },
    "HDF5 data": Artifact(_make_hdf5_data, _read_hdf5_data, (DataError,)),
    "LMDB": Artifact(_make_lmdb, _read_lmdb, (DataError,), ("records",)),
    **{kind: Artifact(_make_image(kind), _read_image, (DataError,)) for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP")},
    "image list": Artifact(_make_image_list, _read_image_list, _NET_ERRORS, (".png", "'subject'")),
    "window file": Artifact(_make_windows, _read_windows, _NET_ERRORS, (".png", "'subject'")),
}  # fmt: skip
