"""extract_features: a net's blobs, batch by batch, to LMDBs of Datum records (Caffe's tools/extract_features.cpp).

    extract_features WEIGHTS NET BLOB[,BLOB...] DB[,DB...] BATCHES lmdb [CPU|GPU] [DEVICE_ID]

Each image of a batch becomes a record with the key %010d and the blob's numbers as float_data.
"""

import contextlib
import sys
from collections.abc import Sequence

import numpy as np

from caffe._blob import Blob
from caffe._commands import command_line
from caffe._commands.program_help import Program
from caffe._commands.record_writer import RecordWriter
from caffe._error import CaffeError, NetError
from caffe._log import logger
from caffe.proto import caffe_pb2

PROGRAM = Program(
    "extract_features",
    """extract_features WEIGHTS NET BLOB[,BLOB...] DB[,DB...] BATCHES lmdb [CPU|GPU] [DEVICE_ID=0]

WEIGHTS is a .caffemodel, NET a prototxt with data layers. Several blobs go to as many databases in one pass.""",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command_line.run(PROGRAM, _extract, arguments)


def _extract(arguments: list[str]) -> None:
    _, places = command_line.begin(PROGRAM, arguments)
    if len(places) < 6:
        raise command_line.UsageError("")
    weights, network, blobs, databases, batches, backend, *device = places
    names, targets = blobs.split(","), databases.split(",")
    if len(names) != len(targets):
        raise CaffeError("The number of blob names and dataset names must be equal.")
    batches = _number("BATCHES", batches)
    _choose_device(device)
    from caffe._net.net import Net

    net = Net(network, caffe_pb2.TEST, weights=weights)
    for name in names:
        if name not in net.blobs:
            raise NetError(f"Unknown feature blob name {name} in the network {network}.")
    with contextlib.ExitStack() as stack:
        writers = []
        for target in targets:
            logger.info("Opening dataset %s", target)
            writers.append(stack.enter_context(RecordWriter(target, backend)))
        logger.error("Extracting Features")
        for _ in range(batches):
            net._forward(0, len(net.layers) - 1, record=False)
            for name, writer in zip(names, writers, strict=True):
                for record in records(net.blobs[name]):
                    if writer.put(f"{writer.count:010d}", record):
                        _say(writer.count, name)
    for name, writer in zip(names, writers, strict=True):
        _say(writer.count, name)
    logger.error("Successfully extracted the features!")


def _say(count: int, name: str) -> None:
    logger.error("Extracted features of %d query images for feature blob %s", count, name)


def records(blob: Blob) -> list[bytes]:
    """Serialized Datums of a blob's values, one for each entry of its first axis."""
    features = np.asarray(blob.data).reshape(blob.num, -1)
    shape = {"channels": blob.channels, "height": blob.height, "width": blob.width}
    return [caffe_pb2.Datum(float_data=values.tolist(), **shape).SerializeToString() for values in features]


def _choose_device(device: list[str]) -> None:
    from caffe._device import device as _device

    if device and device[0] == "GPU":
        index = _number("DEVICE_ID", device[1]) if len(device) > 1 else 0
        logger.error("Using GPU")
        logger.error("Using Device_id=%d", index)
        _device.set_device(index)
        _device.set_mode_gpu()
    else:
        logger.error("Using CPU")
        _device.set_mode_cpu()


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise CaffeError(f"{name} must be a number of 0 or more, not '{text}'.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
