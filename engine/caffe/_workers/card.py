"""A worker's card: what it is about to train. Workers compare cards first, so that a mismatch is found at once."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import __version__
from caffe._device import device as _device
from caffe._device import precision
from caffe._error import WorkerError
from caffe._files.blobproto import read_array
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe._net.net import Net

Card = dict[str, str]

WHERE, PROCESS = "where", "process"
OWN = (WHERE, PROCESS)
"""Entries that differ from worker to worker."""


def of(param: caffe_pb2.SolverParameter, net: Net) -> Card:
    """The card of a worker that trains this net with these solver parameters."""
    fields = {field.name: _shown(value) for field, value in param.ListFields() if field.name != "device_id"}
    device = _device.current()
    where = f"GPU {device.index} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "CPU"
    return {
        WHERE: f"{socket.gethostname()} {where}",
        "the version of Caffe": __version__,
        # Without the build, such as "+cpu".
        "the version of PyTorch": torch.__version__.partition("+")[0],
        "the version of NumPy": np.__version__,
        "the kind of device": device.type,
        "the precision": precision.current(),
        "--deterministic": str(torch.are_deterministic_algorithms_enabled()),
        **{f"the solver's {name}": value for name, value in fields.items()},
        **dict(_of_layers(net)),
    }


def _of_layers(net: Net) -> Iterator[tuple[str, str]]:
    for number, layer in enumerate(net._layers):
        name = f"layer {number} of the net"
        yield name, f"'{layer.name}' ({layer.type}, {_hash(layer.param.SerializeToString(deterministic=True))})"
        if data := layer.identify_data():
            yield f"the data of {name}", data
        if mean := layer.param.transform_param.mean_file:
            yield f"the mean of {name}", f"{mean} ({_hash(read_array(mean).tobytes())})"


def _shown(value: object) -> str:
    """A field of the solver as text; a long one as its hash."""
    # Floats of a prototxt are float32: 0.9, not 0.8999999761581421.
    text = " ".join(str(np.float32(value) if isinstance(value, float) else value).split())
    return text if len(text) < 80 else _hash(text.encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def compare(cards: Sequence[Card]) -> None:
    """Check that all workers train the same.

    Raises:
        WorkerError: they do not. It names a worker that differs from worker 0, and the entry that differs.
    """
    for rank, card in enumerate(cards):
        for name in {**cards[0], **card}:
            theirs, first = card.get(name, "nothing"), cards[0].get(name, "nothing")
            if theirs != first and name not in OWN:
                raise WorkerError(
                    f"Worker {rank} differs from worker 0 in {name}: {theirs}, not {first}. All must train the same."
                )
