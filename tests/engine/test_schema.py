"""The compiled schema and its types beside caffe.proto are what protoc makes of it."""

from pathlib import Path

import caffe.proto
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import descriptor_pb2

PROTO = Path(caffe.proto.__file__).parent


def test_desc_and_types_are_compiled_from_proto(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    target = tmp_path / "caffe.desc"
    words = [f"-I{PROTO}", f"--descriptor_set_out={target}", f"--pyi_out={tmp_path}", str(PROTO / "caffe.proto")]
    assert protoc.main(["protoc", *words]) == 0
    assert (PROTO / "caffe_pb2.pyi").read_bytes() == (tmp_path / "caffe_pb2.pyi").read_bytes()
    read = descriptor_pb2.FileDescriptorSet.FromString
    assert read((PROTO / "caffe.desc").read_bytes()) == read(target.read_bytes())


@pytest.mark.parametrize(
    "message, field, number",
    [
        # Numbers as in Caffe 1.0; files in the wild hold them.
        ("BlobProto", "data", 5), ("BlobProto", "shape", 7), ("Datum", "data", 4), ("Datum", "encoded", 7),
        ("NetParameter", "layer", 100), ("NetParameter", "layers", 2), ("LayerParameter", "blobs", 7),
        ("LayerParameter", "convolution_param", 106), ("LayerParameter", "softmax_param", 125),
        ("SolverParameter", "base_lr", 5), ("SolverParameter", "net", 24), ("SolverParameter", "type", 40),
        ("SolverState", "history", 3), ("SolverState", "current_step", 4), ("PoolingParameter", "round_mode", 13),
    ],
)  # fmt: skip
def test_field_numbers(message, field, number):
    assert getattr(caffe_pb2, message).DESCRIPTOR.fields_by_name[field].number == number


def test_defaults():
    assert caffe_pb2.ConvolutionParameter().bias_term is True
    assert caffe_pb2.LRNParameter().local_size == 5 and caffe_pb2.LRNParameter().beta == 0.75
    assert caffe_pb2.DropoutParameter().dropout_ratio == 0.5
    assert caffe_pb2.SolverParameter().type == "SGD" and caffe_pb2.SolverParameter().snapshot_after_train
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)


def test_arrays_are_packed():
    """As C++ writes them: one length and the numbers, not a key for each."""
    assert caffe_pb2.BlobProto(data=[1, 2, 3]).SerializeToString()[:2] == bytes([5 << 3 | 2, 12])
