"""A worker's card: what it is about to train, so that workers which do not fit each other are told apart at once."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import __version__, _device, _precision
from caffe._error import WorkerError
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe._solver import Solver

Card = dict[str, str]

_WHAT = {
    "engine": "the versions of Caffe and PyTorch",
    "device": "the kind of device",
    "precision": "the precision",
    "solver": "the solver",
    "net": "the net",
    "data": "the data",
}
_TELLING = ("engine", "device", "precision", "data")
"""What can be shown; the rest is a hash."""


def of(solver: Solver) -> Card:
    """The card of a worker with this solver."""
    param = caffe_pb2.SolverParameter()
    param.CopyFrom(solver.param)
    param.ClearField("device_id")
    device = _device.current()
    where = f"GPU {device.index} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "CPU"
    return {
        "where": f"{socket.gethostname()} {where}",
        "engine": f"caffe {__version__}, torch {torch.__version__}, numpy {np.__version__}",
        "device": device.type,
        "precision": _precision.current(),
        "solver": _hash(param),
        "net": _hash(*(layer.param for layer in solver.net._layers)),
        "data": "; ".join(filter(None, (layer.identify_data() for layer in solver.net._layers))),
    }


def _hash(*messages: caffe_pb2.SolverParameter | caffe_pb2.LayerParameter) -> str:
    hashed = hashlib.sha256()
    for message in messages:
        content = message.SerializeToString(deterministic=True)
        hashed.update(len(content).to_bytes(8, "little") + content)
    return hashed.hexdigest()


def compare(cards: Sequence[Card]) -> None:
    """See that all workers train the same.

    Raises:
        WorkerError: they do not; it says who differs from worker 0, and in what.
    """
    for rank, card in enumerate(cards):
        for name, what in _WHAT.items():
            if card[name] != cards[0][name]:
                shown = f": {card[name]}, not {cards[0][name]}" if name in _TELLING else ""
                raise WorkerError(f"Worker {rank} differs from worker 0 in {what}{shown}. All must train the same.")
