"""compute_image_mean: the mean image of an LMDB, as .binaryproto (Caffe's tools/compute_image_mean.cpp).

    compute_image_mean [--backend=lmdb] INPUT_DB [OUTPUT_FILE]

Sums are float32, added in the records' order as in Caffe. Beyond 65,793 images of 255 they are rounded.
"""

import sys
from collections.abc import Sequence

import numpy as np

from caffe._commands import command_line
from caffe._commands.gflags import Flag
from caffe._commands.program_help import Program
from caffe._data.datum import datum_to_image
from caffe._data.records import RecordCursor
from caffe._error import DataError
from caffe._files.whole_file import write_file
from caffe._log import logger
from caffe.proto import caffe_pb2

PROGRAM = Program(
    "compute_image_mean",
    "compute_image_mean [FLAGS] INPUT_DB [OUTPUT_FILE]",
    {"backend": Flag("lmdb", "The backend containing the images.", value="NAME")},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command_line.run(PROGRAM, _compute, arguments)


def _compute(arguments: list[str]) -> None:
    flags, places = command_line.begin(PROGRAM, arguments)
    if len(places) not in (1, 2):
        raise command_line.UsageError("")
    if flags.backend != "lmdb":
        raise DataError(f"Unknown database backend: {flags.backend} (lmdb is supported, leveldb is not).")
    mean = mean_image(places[0])
    channels, height, width = mean.shape
    if len(places) == 2:
        logger.info("Write to %s", places[1])
        blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
        blob.data.extend(mean.ravel().tolist())
        write_file(places[1], blob.SerializeToString())
    logger.info("Number of channels: %d", channels)
    for channel, plane in enumerate(mean):
        # Caffe prints the last running sum in float32, so add the values one by one.
        total = np.cumsum(plane.ravel(), dtype=np.float32)[-1]
        logger.info("mean_value channel [%d]: %g", channel, total / np.float32(plane.size))


def mean_image(source: str) -> np.ndarray:
    """Return the mean of an LMDB's records, float32 (channels, height, width).

    Raises:
        DataError: there are no records, or they differ in size.
    """
    cursor = RecordCursor(source)
    transform = caffe_pb2.TransformationParameter()
    total, count = None, 0
    logger.info("Starting iteration")
    for datum in cursor.to_the_end():
        where = f"{source}, record {cursor.key.decode(errors='replace')}"
        image = datum_to_image(datum, transform, where)
        if total is None:
            total = np.zeros(image.shape, np.float32)
        if image.size != total.size:
            raise DataError(f"{where}: Incorrect data field size {image.size}, not {total.size}.")
        total += image.reshape(total.shape)
        count += 1
        if count % 10000 == 0:
            logger.info("Processed %d files.", count)
    if count % 10000:
        logger.info("Processed %d files.", count)
    return total / np.float32(count)


if __name__ == "__main__":
    sys.exit(main())
