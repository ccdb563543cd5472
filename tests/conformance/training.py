"""Both engines make this training run: one small net with the five nets' kinds of layer, one small LMDB.

Nothing in it is random. The train crop equals the image, there is no mirror and no dropout.
The weights come from a file.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from . import caffe_log
from .engines import Engine

HERE = Path(__file__).parent
DATA = "data"
FILES = "files"
# A file, not a recipe: two JPEG encoders need not write the same bytes.
JPEG = "gradient.jpg"

NET = """
name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 13 mean_file: "data/train_mean.binaryproto" scale: 0.015625 }
  data_param { source: "data/train_lmdb" backend: LMDB batch_size: 6 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 13 mean_file: "data/test_mean.binaryproto" scale: 0.015625 }
  data_param { source: "data/test_lmdb" backend: LMDB batch_size: 5 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 12 group: 3 kernel_h: 5 kernel_w: 3 pad_h: 2 pad_w: 0
    weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1"
  lrn_param { local_size: 5 alpha: 0.05 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  param { lr_mult: 1 decay_mult: 3 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 10 group: 2 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: AVE kernel_size: 3 stride_h: 2 stride_w: 3 pad: 1 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 17 weight_filler { type: "xavier" } } }
layer { name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  param { lr_mult: 0.5 decay_mult: 1 } param { lr_mult: 1 decay_mult: 0 }
  inner_product_param { num_output: 9 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "top3" type: "Accuracy" bottom: "ip2" bottom: "label" top: "top3" include { phase: TEST }
  accuracy_param { top_k: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "net.prototxt"
type: "SGD" momentum: 0.9 weight_decay: 0.005
display: 1 test_interval: 10 test_iter: 4
snapshot: 20 solver_mode: CPU random_seed: 1
"""

FIXED = 'base_lr: 0.04 lr_policy: "fixed"'
# As in the report, the user divides the rate by ten at 20 and resumes from the snapshot.
# In float32, 0.04 times 0.1 is exactly 0.004, so the edit and `multistep` give one rate; not every rate does.
EDITED = 'base_lr: 0.004 lr_policy: "fixed"'
DROP = 'base_lr: 0.04 lr_policy: "multistep" gamma: 0.1 stepvalue: 20'
# Options that the report's nets do not use and many others do; two passes an iteration are 12 images.
ACCUMULATED = FIXED + " iter_size: 2 clip_gradients: 1.5 average_loss: 3"


@dataclasses.dataclass
class Result:
    """The result of one run: its log's numbers and its last .caffemodel's arrays, by `layer/blob index`."""

    run: caffe_log.Run
    weights: dict[str, np.ndarray]
    log: str = ""


def prepare(engine: Engine, work: Path) -> None:
    """Let `engine` write the data set and the initial weights, and write the net, into a workspace."""
    shutil.copyfile(HERE / "recorded" / JPEG, work / JPEG)
    shutil.copyfile(HERE / "python_layer.py", work / "python_layer.py")
    engine.python(HERE / "make_data.py", [DATA, JPEG], work)
    engine.python(HERE / "make_layer_files.py", [FILES, JPEG], work)
    (work / "net.prototxt").write_text(NET)


@dataclasses.dataclass
class Seen:
    """The content that an engine finds in one of Caffe's files: the fields present, and the arrays by name."""

    outline: list[str]
    arrays: dict[str, np.ndarray]


def look(engine: Engine, work: Path, names: Iterable[str]) -> dict[str, Seen]:
    """Let `engine` read files of Caffe's (paths below `work`), in one process."""
    names = list(names)
    engine.python(HERE / "read_files.py", names, work)
    seen = {}
    for name in names:
        with np.load(work / (name + ".npz")) as file:
            seen[name] = Seen(json.loads((work / (name + ".json")).read_text()), dict(file))
    return seen


def weights(engine: Engine, work: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of one .caffemodel, by `layer/blob index`."""
    return look(engine, work, [name])[name].arrays


def solve(engine: Engine, work: Path, name: str, rate: str, until: int, snapshot: str = "") -> str:
    """Run `caffe train` to iteration `until`, from the initial weights or from a .solverstate, and return its log.

    Paths are below `work`; the run writes NAME_iter_20.caffemodel and so on.
    """
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    solver = f"{name}.solver.prototxt"
    (work / solver).write_text(f'{SOLVER}{rate}\nmax_iter: {until} snapshot_prefix: "{name}"\n')
    start = ["-snapshot", snapshot] if snapshot else ["-weights", f"{DATA}/initial.caffemodel"]
    return engine.caffe(["train", "-solver", solver, *start, *engine.device], work)


def train(engine: Engine, work: Path, name: str, rate: str, until: int, snapshot: str = "") -> Result:
    """`solve`, with the numbers of its log and the weights of its last .caffemodel."""
    log = solve(engine, work, name, rate, until, snapshot)
    return Result(caffe_log.parse(log), weights(engine, work, f"{name}_iter_{until}.caffemodel"), log)
