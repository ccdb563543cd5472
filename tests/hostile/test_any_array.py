"""Any bytes, shapes and messages as weights or solver state: written files are read, all others are refused."""

import numpy as np
import pytest
from caffe import SnapshotError
from caffe._files.blobproto import RAW, from_array, read_message, to_array
from caffe._net.weights import read_weights
from caffe._snapshot.solver_state import SolverState
from caffe.proto import caffe_pb2
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from .any_input import few, file_of, messages, quick

shapes = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
floats = arrays.arrays(np.float32, shapes)


class TestBlobProto:
    @quick
    @given(floats)
    def test_written_is_read(self, values):
        raw = RAW["BlobProto"]()
        from_array(raw, values)
        own = caffe_pb2.BlobProto.FromString(raw.SerializeToString())
        for proto in (raw, own):
            found = to_array(proto, "here")
            assert found.shape == values.shape and found.dtype == np.float32
            np.testing.assert_array_equal(found, values)

    @quick
    @given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), st.integers(0, 30), st.booleans())
    def test_shapes_are_the_count_or_refused(self, dims, count, raw):
        proto = caffe_pb2.BlobProto(data=[0.0] * count)
        proto.shape.dim.extend(dims)
        if raw:
            proto = RAW["BlobProto"].FromString(proto.SerializeToString())
        product = 1
        for size in dims:
            product *= size
        if product == count and all(size >= 0 for size in dims):
            assert to_array(proto, "here").shape == tuple(dims)
        else:
            with pytest.raises(SnapshotError, match="here: an array of shape"):
                to_array(proto, "here")

    @quick
    @given(st.binary(max_size=60))
    def test_any_bytes(self, content):
        with file_of(content, "x.binaryproto") as path:
            try:
                values = to_array(read_message(path, "BlobProto"), str(path))
                assert values.dtype == np.float32
            except SnapshotError as error:
                assert str(path) in str(error)

    @quick
    @given(messages(caffe_pb2.NetParameter))
    def test_any_net_as_weights(self, net):
        with file_of(net.SerializeToString(), "x.caffemodel") as path:
            try:
                layers = read_weights(path)
            except SnapshotError as error:
                assert str(path) in str(error) and not (net.layer or net.layers)
            else:
                assert len(layers) == len(net.layer) + len(net.layers)


class TestSolverState:
    @few
    @given(
        st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), st.none() | st.from_regex(r"[\w/.]{1,20}", fullmatch=True),
        st.lists(arrays.arrays(np.float32, arrays.array_shapes(max_dims=4, max_side=4)), max_size=3), st.booleans(),
    )  # fmt: skip
    def test_written_is_read(self, iteration, step, learned_net, history, hdf5):
        state = SolverState(iteration, step, learned_net, history)
        content, name = (state.to_hdf5_bytes(), "s.h5") if hdf5 else (state.to_bytes(), "s")
        with file_of(content, name) as path:
            found = SolverState.read(path)
        assert (found.iter, found.current_step, found.learned_net) == (iteration, step, learned_net)
        assert len(found.history) == len(history)
        for one, other in zip(found.history, history, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.shape == other.shape

    @quick
    @given(messages(caffe_pb2.SolverState))
    def test_any_state(self, proto):
        with file_of(proto.SerializeToString(), "s.solverstate") as path:
            try:
                found = SolverState.read(path)
            except SnapshotError as error:
                assert str(path) in str(error)
            else:
                assert found.iter == proto.iter >= 0 and found.current_step == proto.current_step >= 0
