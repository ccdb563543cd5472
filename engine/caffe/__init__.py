"""Caffe on PyTorch: the public interface of pycaffe.

Names are loaded on first use, because importing PyTorch takes seconds. Much that needs only Caffe's
messages (``from caffe.proto import caffe_pb2``) does not need PyTorch.
"""

import importlib

from caffe.proto.caffe_pb2 import TEST, TRAIN

__version__ = "1.0.0"

_WHERE = {
    "Net": "_net.net",
    "SGDSolver": "_solver",
    "NesterovSolver": "_solver",
    "AdaGradSolver": "_solver",
    "RMSPropSolver": "_solver",
    "AdaDeltaSolver": "_solver",
    "AdamSolver": "_solver",
    "get_solver": "_solver",
    "Classifier": "classifier",
    "Detector": "detector",
    "Timer": "_device.timer",
    "NCCL": "_workers.multi_solver",
    "has_nccl": "_workers.multi_solver",
    "solver_count": "_workers.multi_solver",
    "set_solver_count": "_workers.multi_solver",
    "solver_rank": "_workers.multi_solver",
    "set_solver_rank": "_workers.multi_solver",
    "set_multiprocess": "_workers.multi_solver",
    "layer_type_list": "_layers",
    "set_mode_cpu": "_device.device",
    "set_mode_gpu": "_device.device",
    "set_device": "_device.device",
    "set_random_seed": "_device.random_numbers",
    "init_log": "_log",
    "log": "_log",
    "NetSpec": "net_spec",
    "layers": "net_spec",
    "params": "net_spec",
    "to_proto": "net_spec",
    "CaffeError": "_error",
    "PrototxtError": "_error",
    "NetError": "_error",
    "DataError": "_error",
    "SnapshotError": "_error",
}
_MODULES = ("_caffe", "classifier", "coord_map", "detector", "draw", "io", "net_spec", "proto", "pycaffe")

__all__ = ["TEST", "TRAIN", "Layer", *_WHERE, *_MODULES]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"caffe.{name}")
    if name == "Layer":
        value = importlib.import_module("caffe._layers.python").PythonLayer
    elif name in _WHERE:
        value = getattr(importlib.import_module(f"caffe.{_WHERE[name]}"), name)
    else:
        raise AttributeError(f"module 'caffe' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
