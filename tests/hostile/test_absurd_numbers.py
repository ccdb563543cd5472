"""Absurd numbers in every field of every layer type give a net that runs, or a clear error."""

import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from caffe import TRAIN, CaffeError
from caffe._device import memory, random_numbers
from caffe._files.prototxt import parse
from caffe._net.net import Net
from caffe.proto import caffe_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.conformance.cases import CASES, NOT_YET
from tests.conformance.layer_case import Case

TRIALS = 30
# They read files, or run code.
OTHERWISE = {"Python", "HDF5Data", "HDF5Output", "Data", "ImageData", "WindowData"}
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: (0, 1, -1, 2, 7, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2, 7, 2**31 - 1, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (0, -1, 2, 2**31, 2**63 - 1, -(2**63)),
    FieldDescriptor.CPPTYPE_FLOAT: (0.0, -1.0, math.nan, math.inf, 3e38, 1e-40),
    FieldDescriptor.CPPTYPE_DOUBLE: (0.0, -1.0, math.nan, math.inf, 3e38),
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
}
Place = list[tuple[str, int | None]]


def fields(message: Message, type_: str, place: Place = []) -> Iterator[tuple[Place, FieldDescriptor]]:  # noqa: B006
    """Every field of numbers of a layer, in messages that are there or are of its type."""
    for field in message.DESCRIPTOR.fields:
        if field.cpp_type in NUMBERS or field.enum_type:
            yield place, field
        elif not field.message_type or field.name == "blobs":
            continue
        elif field.is_repeated:
            for index, inner in enumerate(getattr(message, field.name)):
                yield from fields(inner, type_, [*place, (field.name, index)])
        elif place or message.HasField(field.name):
            yield from fields(getattr(message, field.name), type_, [*place, (field.name, None)])


def changed(layer: Message, place: Place, field: FieldDescriptor, value) -> Message:
    """A copy of a layer with another number in a field; all of them where it is repeated."""
    message = copy = type(layer)()
    copy.CopyFrom(layer)
    for name, index in place:
        message = getattr(message, name) if index is None else getattr(message, name)[index]
    if field.is_repeated:
        values = getattr(message, field.name)
        count = max(1, len(values))
        del values[:]
        values.extend([value] * count)
    else:
        setattr(message, field.name, value)
    return copy


def run(case: Case, layer: Message) -> None:
    """Make the layer's net; run it both ways where it is small."""
    net = caffe_pb2.NetParameter()
    net.state.phase = TRAIN
    if case.bottoms:
        inputs = net.layer.add(name="in", type="Input", top=layer.bottom)
        for bottom in case.bottoms:
            inputs.input_param.shape.add(dim=bottom.shape)
    net.layer.add().CopyFrom(layer)
    made = Net(net)
    if sum(blob.count for blob in made.blobs.values()) > 1_000_000 or case.type == "MemoryData":
        return
    random_ = np.random.default_rng(0)
    for name, bottom in zip(layer.bottom, case.bottoms, strict=True):
        made.blobs[name].data[...] = (
            random_.integers(int(bottom.low), int(bottom.high) + 1, bottom.shape)
            if bottom.integers
            else random_.uniform(bottom.low, bottom.high, bottom.shape)
        )
    made.forward()
    made.backward()


@pytest.mark.parametrize("type_", sorted({case.type for case in CASES} - OTHERWISE))
@pytest.mark.filterwarnings("ignore")  # NumPy's, of numbers that are not finite
def test_a_net_or_a_clear_error(type_, monkeypatch):
    monkeypatch.setattr(memory, "_of_machine", lambda: 500_000_000)
    torch.set_num_threads(1)
    random_ = random.Random(type_)
    cases = [case for case in CASES if case.type == type_ and case.name not in NOT_YET and "source:" not in case.text]
    for case in random_.sample(cases, min(2, len(cases))):
        layer = caffe_pb2.LayerParameter(name="subject", type=case.type, top=case.tops)
        layer.bottom.extend(f"b{i}" for i in range(len(case.bottoms)))
        parse(case.text, layer, case.name)
        found = list(fields(layer, type_))
        for _ in range(TRIALS):
            place, field = random_.choice(found)
            numbers = NUMBERS.get(field.cpp_type) or [value.number for value in field.enum_type.values]
            value = random_.choice(numbers)
            random_numbers.set_random_seed(1)
            try:
                run(case, changed(layer, place, field, value))
            except CaffeError as error:
                assert str(error), (case.name, place, field.name, value)
            except Exception as error:
                names = [*(name for name, _ in place), field.name]
                raise AssertionError(f"{case.name} with {'.'.join(names)}: {value}") from error
