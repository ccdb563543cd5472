"""A small experiment in a folder, and the ``caffe`` command run on it in a process of its own."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import numpy as np
from caffe.proto import caffe_pb2

ENGINE = Path(__file__).parents[2] / "engine"

NET = """
name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 9 mirror: true mean_value: 120 scale: 0.02 }
  data_param { source: "train_lmdb" batch_size: 8 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 9 mean_value: 120 scale: 0.02 }
  data_param { source: "test_lmdb" batch_size: 5 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.1 } }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.3 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt"
test_iter: 3
test_interval: 6
base_lr: 0.01
lr_policy: "fixed"
momentum: 0.9
weight_decay: 0.001
display: 1
average_loss: 3
max_iter: 20
snapshot: 10
snapshot_prefix: "snap"
random_seed: 11
"""


def write_lmdb(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write uint8 images (num, channels, height, width) as Datum records."""
    with lmdb.open(str(path), map_size=1 << 26) as env, env.begin(write=True) as txn:
        for index, (image, label) in enumerate(zip(images, labels)):
            datum = caffe_pb2.Datum(label=int(label), data=image.tobytes())
            datum.channels, datum.height, datum.width = image.shape
            txn.put(f"{index:08d}".encode(), datum.SerializeToString())


def make_experiment(folder: Path, solver: str = SOLVER, net: str = NET) -> Path:
    """Fill a folder with net.prototxt, solver.prototxt and LMDBs of 37 and 15 images of 3 x 12 x 11."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    for name, count in (("train_lmdb", 37), ("test_lmdb", 15)):
        labels = random.integers(0, 4, count)
        images = random.integers(0, 120, (count, 3, 12, 11)) + 30 * labels[:, None, None, None]
        write_lmdb(folder / name, images.astype(np.uint8), labels)
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(solver)
    return folder


def environment() -> dict[str, str]:
    """This process's, but with the log on: importing ensemble, as its tests do, turns INFO off."""
    rest = {name: value for name, value in os.environ.items() if name != "GLOG_minloglevel"}
    paths = os.pathsep.join(filter(None, [str(ENGINE), os.environ.get("PYTHONPATH")]))
    return {**rest, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def start(folder: Path, *arguments: str, patience: float = 120, **variables: str) -> subprocess.Popen:
    """Start ``caffe`` with its log on a pipe and environment variables; it is killed if it runs for longer (seconds)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "caffe", *arguments],
        cwd=folder, env=environment() | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    watchdog = threading.Timer(patience, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return process


def caffe(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run ``caffe`` to its end and return its log."""
    process = start(folder, *arguments)
    log, _ = process.communicate(timeout=120)
    assert process.returncode == status, log
    return log


def weights(path: Path) -> list[np.ndarray]:
    """The arrays of a .caffemodel, read with protobuf alone."""
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return [np.array(blob.data, np.float32) for layer in net.layer for blob in layer.blobs]


def displayed(log: str) -> dict[int, str]:
    """Iteration to displayed loss, as text."""
    return {int(i): loss for i, loss in re.findall(r"Iteration (\d+) .*, loss = (\S+)", log)}
