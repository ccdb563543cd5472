"""Nets and solvers as text, of today and of old."""

from collections.abc import Callable
from pathlib import Path

from caffe import TEST
from caffe._error import DataError, NetError, PrototxtError
from caffe._files.prototxt import read_net_param, read_solver_param

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
V1_NET = """name: "old" input: "data" input_dim: 2 input_dim: 3 input_dim: 7 input_dim: 6
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "prob" type: SOFTMAX bottom: "conv" top: "prob" }
"""
V0_NET = """name: "older" input: "data" input_dim: 2 input_dim: 3 input_dim: 7 input_dim: 6
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 2 weight_filler { type: "xavier" }
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 } bottom: "padded" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: MAX kernelsize: 2 stride: 2 } bottom: "conv" top: "pool" }
layers { layer { name: "prob" type: "softmax" } bottom: "pool" top: "prob" }
"""
_LAYERS = ("'in'", "'input'", "'pad'", "'conv'", "'relu'", "'pool'", "'ip'", "'prob'")


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _read_net(path: Path) -> Found:
    from caffe._net.net import Net

    net = Net(path, TEST)
    net.forward()
    return None, {name: blob.shape for name, blob in net.blobs.items()}


_ERRORS = (PrototxtError, NetError, DataError)

NET_FILES = {
    "prototxt": Artifact(_text("net.prototxt", NET), lambda path: (None, str(read_net_param(path))), (PrototxtError,)),
    "net": Artifact(_text("net.prototxt", NET), _read_net, _ERRORS, _LAYERS),
    "net of V1": Artifact(_text("net.prototxt", V1_NET), _read_net, _ERRORS, _LAYERS),
    "net of V0": Artifact(_text("net.prototxt", V0_NET), _read_net, _ERRORS, _LAYERS),
    "solver": Artifact(
        _text("solver.prototxt", SOLVER), lambda path: (None, str(read_solver_param(path))), (PrototxtError,)
    ),
}
