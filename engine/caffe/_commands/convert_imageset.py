"""convert_imageset: image files to an LMDB of Datum records (Caffe's tools/convert_imageset.cpp).

    convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME

Each line of LISTFILE has an image's path below ROOTFOLDER, a space and its label. The command joins
ROOTFOLDER and the path without adding a slash. Unreadable images are logged and left out. Pixels equal
OpenCV's, byte for byte.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from caffe._commands import command_line
from caffe._commands.gflags import Flag
from caffe._commands.program_help import Program
from caffe._commands.record_writer import RecordWriter
from caffe._data.image import FORMATS, read_image
from caffe._data.image_list import read_image_list
from caffe._device import random_numbers
from caffe._error import DataError
from caffe._log import logger
from caffe.proto import caffe_pb2

PROGRAM = Program(
    "convert_imageset",
    "convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME",
    {
        "gray": Flag(False, "Treat images as grayscale ones."),
        "shuffle": Flag(False, "Randomly shuffle the order of images and their labels."),
        "backend": Flag("lmdb", "The backend for storing the result.", value="NAME"),
        "resize_width": Flag(0, "Width images are resized to.", value="N"),
        "resize_height": Flag(0, "Height images are resized to.", value="N"),
        "check_size": Flag(False, "Check that all the datum have the same size."),
        "encoded": Flag(False, "Save the encoded image in datum."),
        "encode_type": Flag("", "What type to encode the image as: png, jpg, ...", value="TYPE"),
    },
)
_PILLOW_NAMES = {"jpg": "JPEG", "jpe": "JPEG", "tif": "TIFF", "pgm": "PPM", "pbm": "PPM", "pnm": "PPM"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command_line.run(PROGRAM, _convert, arguments)


def _convert(arguments: list[str]) -> None:
    flags, places = command_line.begin(PROGRAM, arguments)
    if len(places) < 3:
        raise command_line.UsageError("")
    root, listfile, target = places[:3]
    lines = read_image_list(listfile)
    if flags.shuffle:
        logger.info("Shuffling data")
        random_numbers.host().shuffle(lines)
    logger.info("A total of %d images.", len(lines))
    if flags.encode_type:
        _pillow_name(flags.encode_type)
    if flags.encode_type and not flags.encoded:
        logger.info("encode_type specified, assuming encoded=true.")
    size = None
    with RecordWriter(target, flags.backend) as records:
        for number, (name, label) in enumerate(lines):
            encoding = flags.encode_type or (_encoding_of(name) if flags.encoded else "")
            try:
                datum = make_datum(
                    root + name, label, flags.resize_height, flags.resize_width, not flags.gray, encoding
                )
            except DataError as error:
                logger.error("%s", error)
                continue
            if flags.check_size:
                # As in Caffe, compare the first record's shape with the others' bytes. Encoded records have no shape.
                size = datum.channels * datum.height * datum.width if size is None else size
                if records.count and len(datum.data) != size:
                    raise DataError(f"{name}: Incorrect data field size {len(datum.data)}, not {size}.")
            if records.put(f"{number:08d}_{name}", datum.SerializeToString()):
                logger.info("Processed %d files.", records.count)
    if records.count % 1000:
        logger.info("Processed %d files.", records.count)


def _encoding_of(name: str) -> str:
    if "." not in name:
        logger.warning("Failed to guess the encoding of '%s'", name)
    return name.rpartition(".")[2].lower()


def make_datum(path: str, label: int, height: int, width: int, color: bool, encoding: str) -> caffe_pb2.Datum:
    """Make a record of an image file (ReadImageToDatum).

    Args:
        height, width: the new size; if either is 0, the image keeps its size.
        encoding: '' for pixels, otherwise a file type. An unchanged file of that type keeps its bytes.

    Raises:
        DataError: the file is missing or no image, or the type cannot be written.
    """
    image = read_image(path, color, (height, width) if height > 0 and width > 0 else None)
    if not encoding:
        datum = caffe_pb2.Datum(channels=image.shape[2], height=image.shape[0], width=image.shape[1], label=label)
        datum.data, datum.encoded = image.transpose(2, 0, 1).tobytes(), False
        return datum
    ending = path.rpartition(".")[2].lower()
    as_it_is = (
        not height and not width and (ending == encoding.lower() or (ending, encoding.lower()) == ("jpeg", "jpg"))
    )
    content = Path(path).read_bytes() if as_it_is else _encode(image, encoding)
    return caffe_pb2.Datum(data=content, label=label, encoded=True)


def _pillow_name(encoding: str) -> str:
    """Pillow's name of a file type; raises DataError if no ImageData or Data layer reads the type."""
    kind = _PILLOW_NAMES.get(encoding.lower(), encoding.upper())
    if kind not in FORMATS:
        raise DataError(f"--encode_type={encoding}: images cannot be encoded as that; try png or jpg.")
    return kind


def _encode(image: np.ndarray, encoding: str) -> bytes:
    kind = _pillow_name(encoding)
    stream = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else np.ascontiguousarray(image[:, :, ::-1]))
    try:
        picture.save(stream, kind, **({"quality": 95} if kind == "JPEG" else {}))
    except (ValueError, OSError) as error:  # A side exceeds the type's limit.
        raise DataError(f"an image of {picture.width} x {picture.height} cannot be a {kind}: {error}.") from None
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(main())
