"""Turns images into Datum records, with the keys of Caffe's convert_imageset."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np
from caffe.proto import caffe_pb2

from data_prep.archive import Reader
from data_prep.decode import CHANNELS, HEIGHT, WIDTH, decode_jpeg, new_scratch
from data_prep.errors import BadImage
from data_prep.tiny_imagenet import UNKNOWN_LABEL, LabelledImage

PIXEL_COUNT = CHANNELS * HEIGHT * WIDTH
#: Images in a batch, at most 257: uint16 holds the sum of that many pixels.
BATCH_IMAGES = 256
# The number of files read before they are decoded. With one at a time, the kernel's and libjpeg-turbo's code drive each
# other out of the processor's caches. That costs a tenth of the whole time.
_FILES_AT_ONCE = 16


class RecordBatch(NamedTuple):
    """Records in key order. Record i is ``values[slice(*bounds[i])]``."""

    keys: list[bytes]
    bounds: list[tuple[int, int]]
    values: bytes | memoryview
    pixel_sum: np.ndarray
    bad: list[str]


def record_key(index: int, name: str) -> bytes:
    """The key ``%08d_<name>``, for example ``00000042_test/images/test_42.JPEG``. It sorts in the list's order."""
    return f"{index:08d}_{name}".encode()


@cache
def datum_frame(label: int) -> tuple[bytes, bytes]:
    """The bytes before and after the pixels in the Datum of an image with this label.

    The encoded flag is written although it is false, as convert_imageset does. Records are then equal byte
    for byte.
    """
    pixels = bytes(PIXEL_COUNT)
    datum = caffe_pb2.Datum(channels=CHANNELS, height=HEIGHT, width=WIDTH, data=pixels, label=label, encoded=False)
    before, after = datum.SerializeToString().split(pixels)
    return before, after


# The unknown label, -1, takes the most bytes of all.
_BEFORE, _AFTER = map(len, datum_frame(UNKNOWN_LABEL))
RECORD_BYTES = _BEFORE + PIXEL_COUNT + _AFTER


def new_room(memory: bytearray | None = None) -> np.ndarray:
    """Memory for a batch: uint8 (BATCH_IMAGES, RECORD_BYTES), over ``memory`` of equal length if given."""
    if memory is None:
        return np.empty((BATCH_IMAGES, RECORD_BYTES), np.uint8)
    return np.frombuffer(memory, np.uint8).reshape(BATCH_IMAGES, RECORD_BYTES)


def make_records(
    reader: Reader, images: Iterable[LabelledImage], first: int, encoded: bool, room: np.ndarray
) -> RecordBatch:
    """The records of ``images``, the first of which has number ``first`` in its list, and their pixels' sum.

    Values are Datum (3, 64, 64): raw bytes B, G, R plane by plane, laid out in ``room`` (see ``new_room``). With
    ``encoded`` they hold the unchanged JPEG file. ``pixel_sum`` is uint16 (12288,). An image that does not
    decode is named in ``bad``; its number stays unused, as with convert_imageset.
    """
    keys, bounds, bad, encoded_values = [], [], [], bytearray()
    values = memoryview(room).cast("B")
    pixels = room[:, _BEFORE : _BEFORE + PIXEL_COUNT]
    planes = pixels.reshape(-1, CHANNELS, HEIGHT, WIDTH)
    scratch = new_scratch()
    for index, (entry, label), file in _files(reader, images, first):
        row = len(keys)
        try:
            if isinstance(file, BadImage):
                raise file
            planes[row] = decode_jpeg(file, entry.name, scratch)
        except BadImage as error:
            bad.append(str(error))
            continue
        if encoded:
            datum = caffe_pb2.Datum(channels=CHANNELS, height=HEIGHT, width=WIDTH, data=file, label=label, encoded=True)
            start = len(encoded_values)
            encoded_values += datum.SerializeToString()
            bounds.append((start, len(encoded_values)))
        else:
            # Protobuf would copy the pixels three times on their way into the LMDB, so they are laid out by hand.
            before, after = datum_frame(label)
            start = row * RECORD_BYTES
            rest = start + _BEFORE + PIXEL_COUNT
            values[start : start + _BEFORE] = before
            values[rest : rest + len(after)] = after
            bounds.append((start, rest + len(after)))
        keys.append(record_key(index, entry.name))
    pixel_sum = pixels[: len(keys)].sum(axis=0, dtype=np.uint16)
    return RecordBatch(keys, bounds, bytes(encoded_values) if encoded else values, pixel_sum, bad)


def _files(
    reader: Reader, images: Iterable[LabelledImage], first: int
) -> Iterator[tuple[int, LabelledImage, bytes | BadImage]]:
    """Number, image and file of each image; an unreadable file is replaced by its error."""

    def read(image: LabelledImage) -> bytes | BadImage:
        try:
            return reader.read(image.entry)
        except BadImage as error:
            return error

    images = iter(images)
    index = first
    while group := list(islice(images, _FILES_AT_ONCE)):
        for image, file in zip(group, [read(image) for image in group], strict=True):
            yield index, image, file
            index += 1
