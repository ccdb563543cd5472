"""Any bytes as a record, an image or an LMDB: what is written is read, what is not is refused."""

import struct
import tempfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from caffe import DataError
from caffe._data.datum import datum_to_image, parse_datum, stack_pixels
from caffe._data.image import decode_image
from caffe._data.lmdb_file import check
from caffe.proto import caffe_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from .any_input import few, file_of, messages, quick

PLAIN = caffe_pb2.TransformationParameter()
pixels = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=5))


class TestDatum:
    @quick
    @given(pixels, st.integers(-(2**31), 2**31 - 1))
    def test_written_is_read(self, image, label):
        channels, height, width = image.shape
        datum = caffe_pb2.Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=label)
        found = parse_datum(datum.SerializeToString(), "here")
        assert found.label == label
        for read in (datum_to_image(found, PLAIN, "here"), stack_pixels([found, found], ["a", "b"])[1]):
            assert read.dtype == np.uint8
            np.testing.assert_array_equal(read, image)

    @settings(quick, max_examples=200)
    @given(messages(caffe_pb2.Datum), st.integers(0, 99))
    def test_any_datum(self, datum, count):
        if not datum.encoded and count:
            datum.data = bytes(count)
        try:
            image = datum_to_image(datum, PLAIN, "here")
        except DataError as error:
            assert str(error).startswith("here")
        else:
            assert image.shape == (datum.channels, datum.height, datum.width) and min(image.shape) >= 1

    @quick
    @given(st.binary())
    def test_any_bytes(self, content):
        try:
            datum_to_image(parse_datum(content, "here"), PLAIN, "here")
        except DataError as error:
            assert str(error).startswith("here")

    beginnings = st.sampled_from(
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"P6 ", b"II*\0", b"MM\0*", b"RIFF", b""]
    )

    @settings(quick, max_examples=200)
    @given(beginnings, st.binary(max_size=300))
    @pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged tags
    def test_any_image(self, beginning, rest):
        try:
            image = decode_image(beginning + rest, "here")
        except DataError as error:
            assert str(error).startswith("here: the image cannot be decoded")
        else:
            assert image.ndim == 3 and image.dtype == np.uint8


class TestLmdb:
    records = st.dictionaries(st.binary(min_size=1, max_size=60), st.integers(0, 9000), max_size=60)

    @few
    @given(records, st.integers(1, 20))
    def test_any_records_pass(self, records, at_once):
        with tempfile.TemporaryDirectory() as folder:
            with lmdb.open(folder, map_size=1 << 24) as env:
                keys = list(records)
                for start in range(0, len(keys), at_once):
                    with env.begin(write=True) as txn:
                        for key in keys[start : start + at_once]:
                            txn.put(key, bytes(records[key]))
                        if start % 3 == 1:
                            txn.delete(keys[start])
                entries = env.stat()["entries"]
            assert check(Path(folder, "data.mdb")) == entries

    @quick
    @given(st.binary(max_size=400), st.integers(0, 3))
    def test_any_bytes_are_refused(self, content, pages):
        header = struct.pack("<QHHHH II QQ", 0, 0, 8, 0, 0, 0xBEEFC0DE, 1, 0, 1 << 20)
        for start in (b"", header):
            with file_of((start + content).ljust(4096 * pages, b"\0"), "data.mdb") as path:
                with pytest.raises(DataError, match="data.mdb: .*cut or damaged"):
                    check(path)
