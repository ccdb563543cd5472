"""Helpers for the tests of any input: hypothesis's settings, temporary files, messages of any kind."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# The same examples every time, and no clock: other work may run beside.
quick = settings(
    max_examples=50, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
few = settings(quick, max_examples=15)


@contextmanager
def file_of(content: bytes, name: str = "file") -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        yield path


_VALUES = {
    Field.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    Field.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    Field.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    Field.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False),
    Field.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    Field.CPPTYPE_BOOL: st.booleans(),
}


@st.composite
def messages(draw, kind: type, depth: int = 3):
    """A message with some fields set to anything that they can be."""
    message = kind()
    usable = [field for field in kind.DESCRIPTOR.fields if depth or not field.message_type]
    for field in draw(st.lists(st.sampled_from(usable), max_size=5, unique_by=lambda each: each.number)):
        if field.message_type:
            inner = messages(_CLASSES[field.message_type.full_name], depth - 1)
        elif field.enum_type:
            inner = st.sampled_from([value.number for value in field.enum_type.values])
        elif field.cpp_type == Field.CPPTYPE_STRING:
            inner = st.binary(max_size=9) if field.type == Field.TYPE_BYTES else st.text(max_size=9)
        else:
            inner = _VALUES[field.cpp_type]
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(inner, max_size=3)))
        elif field.message_type:
            getattr(message, field.name).CopyFrom(draw(inner))
        else:
            setattr(message, field.name, draw(inner))
    return message


_CLASSES = {each.DESCRIPTOR.full_name: each for each in vars(caffe_pb2).values() if hasattr(each, "FromString")}
