"""Records: the array a Datum holds, and Datums whose sizes are not those of their data."""

import numpy as np
import pytest
from caffe import DataError
from caffe._data.datum import datum_to_image, parse_datum, stack_pixels
from caffe.proto import caffe_pb2

from tests.engine.records import datum

PLAIN = caffe_pb2.TransformationParameter()


def test_bytes_and_floats(rng):
    pixels = rng.integers(0, 256, (3, 5, 4), np.uint8)
    image = datum_to_image(datum(pixels), PLAIN, "here")
    assert image.dtype == np.uint8 and np.array_equal(image, pixels)
    values = rng.standard_normal((2, 3, 5)).astype(np.float32)
    image = datum_to_image(datum(values), PLAIN, "here")
    assert image.dtype == np.float32 and np.array_equal(image, values)


def test_stack(rng):
    pixels = rng.integers(0, 256, (4, 3, 5, 6), np.uint8)
    stacked = stack_pixels([datum(image) for image in pixels], list("abcd"))
    assert stacked.dtype == np.uint8 and np.array_equal(stacked, pixels)


@pytest.mark.parametrize(
    "sizes, count",
    [
        ((3, 4, 5), 59),
        ((3, 4, 5), 61),
        ((3, 4, 5), 0),
        ((0, 4, 5), 0),
        ((-3, -4, 5), 60),
        ((3, 4, -5), 60),
        ((2**16, 2**16, 2**16), 0),  # 0 in 32 bits and in 48
        ((2**31 - 1, 2**31 - 1, 4), 4),  # 4 in 32 bits
        ((60, 1, 2**31 - 1), 60),
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "floats", "stack"])
def test_sizes_that_are_not_those_of_the_data(sizes, count, kind):
    record = caffe_pb2.Datum(channels=sizes[0], height=sizes[1], width=sizes[2])
    if kind == "floats":
        record.float_data.extend([0.5] * count)
    else:
        record.data = bytes(count)
    with pytest.raises(DataError, match=rf"record 7: {count} values are not an image of \({sizes[0]}, "):
        if kind == "stack":
            stack_pixels([datum(np.zeros((3, 4, 5), np.uint8)), record], ["record 6", "record 7"])
        else:
            datum_to_image(record, PLAIN, "record 7")


def test_another_size_in_a_stack():
    records = [datum(np.zeros(shape, np.uint8)) for shape in ((3, 4, 5), (3, 5, 4))]
    with pytest.raises(DataError, match=r"second: it is of size \(3, 5, 4\), and the first of size \(3, 4, 5\)"):
        stack_pixels(records, ["first", "second"])


def test_no_datum():
    with pytest.raises(DataError, match="record 3 is not a Datum"):
        parse_datum(b"\x22\xff\xff\xff\xff\x0fshort", "record 3")
