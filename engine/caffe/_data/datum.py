"""Records: a Datum's content, checked before it is used."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from google.protobuf.message import DecodeError

from caffe._data.image import decode_image
from caffe._error import DataError
from caffe.proto import caffe_pb2


def parse_datum(content: bytes, where: str) -> caffe_pb2.Datum:
    """Parse one record's Datum.

    Raises:
        DataError: the record is not a Datum.
    """
    return parse_datums([content], lambda _: where)[0]


def parse_datums(contents: Iterable[bytes], where: Callable[[int], str]) -> list[caffe_pb2.Datum]:
    """Parse the Datums of some records; ``where`` gives the start of a message for a record's index.

    Raises:
        DataError: a record is not a Datum.
    """
    datums: list[caffe_pb2.Datum] = []
    try:
        for content in contents:
            datums.append(caffe_pb2.Datum.FromString(content))
    except DecodeError:
        raise DataError(f"{where(len(datums))} is not a Datum.") from None
    return datums


def datum_to_image(datum: caffe_pb2.Datum, transform: caffe_pb2.TransformationParameter, where: str) -> np.ndarray:
    """The values of a Datum as (channels, height, width): uint8, or float32 for float_data.

    Encoded images are decoded as OpenCV does, to BGR; gray stays one channel unless force_color is set.

    Raises:
        DataError: the data has another size than channels * height * width, or does not decode.
    """
    if datum.encoded:
        return _decode(datum.data, transform, where)
    values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    return values.reshape(_checked_shape(datum, len(values), where))


def stack_pixels(datums: Sequence[caffe_pb2.Datum], where: Sequence[str]) -> np.ndarray:
    """The pixels of Datums of one size that hold unencoded bytes, with one copy of each.

    Returns:
        uint8 (number of Datums, channels, height, width).

    Raises:
        DataError: a Datum's data has another size than channels * height * width, or the Datums differ in size.
    """
    shapes = [_checked_shape(datum, len(datum.data), name) for datum, name in zip(datums, where, strict=True)]
    for shape, name in zip(shapes, where, strict=True):
        if shape != shapes[0]:
            raise DataError(f"{name}: it is of size {shape}, and the first of size {shapes[0]}.")
    return np.frombuffer(b"".join([datum.data for datum in datums]), np.uint8).reshape(len(datums), *shapes[0])


def _checked_shape(datum: caffe_pb2.Datum, count: int, where: str) -> tuple[int, int, int]:
    # Python's integers do not overflow, so a false size cannot pass as the right one.
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1 or shape[0] * shape[1] * shape[2] != count:
        raise DataError(f"{where}: {count} values are not an image of {shape}.")
    return shape


def _decode(content: bytes, transform: caffe_pb2.TransformationParameter, where: str) -> np.ndarray:
    if transform.force_color and transform.force_gray:
        raise DataError("transform_param: cannot set both force_color and force_gray.")
    color = True if transform.force_color else False if transform.force_gray else None
    return np.ascontiguousarray(decode_image(content, where, color).transpose(2, 0, 1))
