"""BlobProtos read and written as bytes equal protobuf's own encoding, byte for byte."""

import numpy as np
import pytest
from caffe import SnapshotError
from caffe._files.blobproto import RAW, from_array, read_message, shape_of, to_array
from caffe.proto import caffe_pb2


@pytest.fixture
def values(rng):
    return rng.normal(size=(2, 3, 5)).astype(np.float32)


def own(values, **more):
    proto = caffe_pb2.BlobProto(**more)
    proto.shape.dim.extend(values.shape)
    proto.data.extend(values.ravel().tolist())
    return proto


def test_bytes_equal_protobuf_s_own(values, rng):
    diff = rng.normal(size=values.shape).astype(np.float32)
    raw = RAW["BlobProto"]()
    from_array(raw, values, diff)
    proto = own(values)
    proto.diff.extend(diff.ravel().tolist())
    assert raw.SerializeToString() == proto.SerializeToString()
    net = caffe_pb2.NetParameter(name="n")
    net.layer.add(name="a", type="Scale").blobs.append(own(values))
    raw_net = RAW["NetParameter"](name="n")
    from_array(raw_net.layer.add(name="a", type="Scale").blobs.add(), values)
    assert raw_net.SerializeToString() == net.SerializeToString()


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "protobuf's own"])
class TestToArray:
    def read(self, proto, raw, **how):
        if raw:
            proto = RAW["BlobProto"].FromString(proto.SerializeToString())
        return to_array(proto, "here", **how)

    def test_values_and_shape(self, values, raw):
        found = self.read(own(values), raw)
        assert found.dtype == np.float32 and found.flags.writeable
        np.testing.assert_array_equal(found, values)

    def test_old_four_dimensions(self, values, raw):
        old = caffe_pb2.BlobProto(num=1, channels=2, height=3, width=5, data=values.ravel().tolist())
        np.testing.assert_array_equal(self.read(old, raw), values[None])

    def test_double(self, values, raw):
        proto = caffe_pb2.BlobProto(double_data=values.ravel().tolist())
        proto.shape.dim.extend(values.shape)
        np.testing.assert_array_equal(self.read(proto, raw), values)

    def test_diff(self, values, raw):
        assert self.read(own(values), raw, diff=True) is None
        proto = own(values, diff=(2 * values).ravel().tolist())
        np.testing.assert_array_equal(self.read(proto, raw, diff=True), 2 * values)

    def test_scalar(self, raw):
        found = self.read(caffe_pb2.BlobProto(data=[7]), raw)
        assert found.shape == () and found == 7

    @pytest.mark.parametrize("dims", [(2, 3, 4), (2, 3), (), (-2, -15), (2**32, 2**32), (2**62, 4, 30)])
    def test_count_that_is_not_the_shape_s(self, values, dims, raw):
        proto = caffe_pb2.BlobProto(data=values.ravel().tolist())
        proto.shape.dim.extend(dims)
        with pytest.raises(SnapshotError, match="here: an array of shape .* holds 30 numbers"):
            self.read(proto, raw)


def test_half_a_number():
    raw = RAW["BlobProto"](data=b"123456")
    raw.shape.dim.append(1)
    with pytest.raises(SnapshotError, match="1.5 numbers"):
        to_array(raw, "here")


def test_shape_of_both_forms(values):
    assert shape_of(own(values)) == (2, 3, 5)
    assert shape_of(caffe_pb2.BlobProto(num=1, channels=1, height=1, width=9)) == (1, 1, 1, 9)


def test_files(tmp_path, values):
    path = tmp_path / "mean.binaryproto"
    with pytest.raises(SnapshotError, match="Could not open file .*mean.binaryproto: No such file"):
        read_message(path, "BlobProto")
    content = own(values).SerializeToString()
    path.write_bytes(content)
    np.testing.assert_array_equal(to_array(read_message(path, "BlobProto"), "x"), values)
    path.write_bytes(content[:20])
    with pytest.raises(SnapshotError, match="is not a BlobProto: it is cut"):
        read_message(path, "BlobProto")
    # Cut between two fields it is a whole message, but of another shape.
    path.write_bytes(content[:-7])
    with pytest.raises(SnapshotError, match=r"shape \(\) holds 30 numbers"):
        to_array(read_message(path, "BlobProto"), "x")
