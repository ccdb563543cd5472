"""LMDBs, images, and lists of images and windows, as the engine reads them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from caffe._data.image import read_image
from caffe._error import DataError, NetError
from caffe.proto import caffe_pb2
from PIL import Image

from tests.engine.records import datum, write_lmdb

from .artifact import Artifact, Found


def smooth(*shape: int) -> np.ndarray:
    """An image whose values rise slowly."""
    slope = np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1]) * 2)[..., None] + np.arange(shape[2]) * 40
    return slope.astype(np.uint8)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _make_lmdb(folder: Path) -> Path:
    if (folder / "records" / "data.mdb").exists():
        return folder / "records" / "data.mdb"
    records = [datum(smooth(3, 50, 40 if i % 3 else 9), i) for i in range(60)]
    return write_lmdb(folder / "records", records) / "data.mdb"


def _read_lmdb(path: Path) -> Found:
    from caffe._data.datum import datum_to_image
    from caffe._data.records import RecordCursor

    cursor = RecordCursor(str(path.parent))
    plain, images = caffe_pb2.TransformationParameter(), []
    for record in cursor.to_the_end():
        image = datum_to_image(record, plain, f"{path.parent}, record {cursor.key!r}")
        images.append((cursor.key, record.label, image.tobytes(), image.shape))
    return len(images), images


def _make_image(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        memory = io.BytesIO()
        Image.fromarray(smooth(30, 41, 3)).save(memory, kind)
        return _write(folder / f"image.{kind.lower()}", memory.getvalue())

    return make


def _read_image(path: Path) -> Found:
    pixels = read_image(path)
    return None, (pixels.shape, pixels.tobytes())


def _make_image_list(folder: Path) -> Path:
    for name in ("a.png", "b c.png"):
        Image.fromarray(smooth(9, 8, 3)).save(folder / name)
    return _write(folder / "images.txt", f"{folder}/a.png 3\n{folder}/b c.png 1\n".encode())


def _read_image_list(path: Path) -> Found:
    from tests.engine.build import make_layer

    layer = make_layer(f'type: "ImageData" image_data_param {{ source: "{path}" batch_size: 2 }}', tops=2)
    return None, [top.numpy().tobytes() for top in layer.forward([], [])]


def _make_windows(folder: Path) -> Path:
    Image.fromarray(smooth(20, 30, 3)).save(folder / "a.png")
    lines = [f"# 0\n{folder}/a.png\n3\n20\n30\n3", "1 0.9 2 3 20 15", "2 0.7 0 0 10 12", "1 0.1 5 5 25 18"]
    return _write(folder / "windows.txt", "\n".join(lines).encode() + b"\n")


def _read_windows(path: Path) -> Found:
    from tests.engine.build import make_layer

    layer = make_layer(
        f'type: "WindowData" transform_param {{ crop_size: 8 }} window_data_param {{ source: "{path}" batch_size: 4 }}',
        tops=2,
    )
    return None, [layer.windows.foreground, layer.windows.background, layer.forward([], [])[0].shape]


RECORD_FILES = {
    "LMDB": Artifact(_make_lmdb, _read_lmdb, (DataError,), ("records",)),
    **{kind: Artifact(_make_image(kind), _read_image, (DataError,)) for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP")},
    "image list": Artifact(_make_image_list, _read_image_list, (DataError, NetError)),
    "window file": Artifact(_make_windows, _read_windows, (DataError, NetError)),
}
