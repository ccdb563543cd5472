"""Converts between BlobProtos and arrays without a Python loop over the numbers.

Caffe's files hold arrays as packed repeated floats: a length and raw little-endian numbers. A field of
type ``bytes`` has the same form. So the engine reads and writes the files with a copy of the schema that
has ``bytes`` for those fields. NumPy takes the bytes as they are. AlexNet's 21 million weights then take
milliseconds instead of seconds.
"""

import math
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from caffe._error import CaffeError, DataError, SnapshotError
from caffe._files.read_file import MESSAGE, read_file
from caffe.proto import caffe_pb2

_DTYPES = {"data": "<f4", "diff": "<f4", "double_data": "<f8", "double_diff": "<f8"}


def _raw_messages() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    (blob,) = (message for message in file.message_type if message.name == "BlobProto")
    for field in blob.field:
        if field.name in _DTYPES:
            field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
            field.label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            field.ClearField("options")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
        for name in ("BlobProto", "NetParameter", "SolverState")
    }


RAW = _raw_messages()
"""BlobProto, NetParameter and SolverState with arrays as bytes; the files are the same, the Python types differ."""


def read_message(path: str | Path, message_name: str, error: type[CaffeError] = SnapshotError) -> Message:
    """Read a binary protobuf file with arrays as bytes.

    Args:
        path: a .caffemodel, .solverstate or .binaryproto.
        message_name: a key of RAW.
        error: the error to raise if the file is missing or is not such a message.
    """
    content = read_file(path, MESSAGE, error)
    try:
        return RAW[message_name].FromString(content)
    except DecodeError:
        raise error(f"{path} is not a {message_name}: it is cut, broken or another kind of file.") from None


def read_array(path: str | Path) -> np.ndarray:
    """Return the array of a .binaryproto, float32 in its shape.

    Raises:
        DataError: the file is missing or broken, or holds no numbers.
    """
    values = to_array(read_message(path, "BlobProto", DataError), str(path), error=DataError)
    if not values.size:
        raise DataError(f"{path} holds no numbers: it is cut, broken or another kind of file.")
    return values


def shape_of(proto: Message) -> tuple[int, ...]:
    """A BlobProto's shape, in the old form (num, channels, height, width) or the new."""
    if any(proto.HasField(name) for name in ("num", "channels", "height", "width")):
        return (proto.num, proto.channels, proto.height, proto.width)
    return tuple(proto.shape.dim)


def to_array(
    proto: Message, where: str, diff: bool = False, error: type[CaffeError] = SnapshotError
) -> np.ndarray | None:
    """The values (or gradients) of a BlobProto, raw or not, as float32 in its shape.

    Args:
        where: beginning of the error message.
        error: the error to raise if the number of values differs from the shape's.

    Returns:
        The array, or None for missing gradients.
    """
    shape = shape_of(proto)
    double, single = ("double_diff", "diff") if diff else ("double_data", "data")
    field = double if len(getattr(proto, double)) else single
    content = getattr(proto, field)
    if diff and not len(content):
        return None
    dtype = np.dtype(_DTYPES[field])
    if isinstance(content, bytes):
        count = len(content) / dtype.itemsize
        values = np.frombuffer(content, dtype) if count == int(count) else None
    else:
        values = np.array(content, dtype)
        count = len(values)
    # Python's integers do not overflow, so a false shape cannot pass as the right count.
    if values is None or any(d < 0 for d in shape) or math.prod(shape) != count:
        raise error(f"{where}: an array of shape {shape} holds {count:g} numbers: the file is broken.")
    return values.astype(np.float32).reshape(shape)


def from_array(proto: Message, values: np.ndarray, diff: np.ndarray | None = None) -> None:
    """Write an array (and gradients) into a raw BlobProto."""
    proto.shape.dim.extend(values.shape)
    proto.data = np.ascontiguousarray(values, "<f4").tobytes()
    if diff is not None:
        proto.diff = np.ascontiguousarray(diff, "<f4").tobytes()
