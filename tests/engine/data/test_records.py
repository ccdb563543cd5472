"""Records in a device's memory, and batches made ahead by a thread, against records read one after the other.

The CPU runs the GPU's code here, without the GPU's memory.
"""

import numpy as np
import pytest
import torch
from caffe import TRAIN, DataError, set_random_seed
from caffe._data.records import RecordCursor, ResidentRecords
from caffe._device import device
from caffe._layers.data import Data

from tests.engine.layers.test_data import data_layer
from tests.engine.records import datum, write_lmdb

CPU = torch.device("cpu")
TRANSFORM = 'transform_param { mirror: true crop_size: 4 scale: 0.5 mean_file: "%s" }'


@pytest.fixture
def images():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (3, 6, 7), dtype=np.uint8) for _ in range(11)]


@pytest.fixture
def source(tmp_path, images):
    return write_lmdb(tmp_path / "lmdb", [datum(image, label) for label, image in enumerate(images)])


@pytest.fixture
def mean_file(tmp_path):
    from caffe.proto import caffe_pb2

    proto = caffe_pb2.BlobProto(num=1, channels=3, height=6, width=7, data=np.arange(126.0))
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(proto.SerializeToString())
    return path


def batches(layer: Data, count: int, prepare=lambda layer: None):
    """Batches of 4 of 11 records, and the layer's state after each."""
    prepare(layer)
    return [([top.clone() for top in layer.forward([], [])], layer.get_state()) for _ in range(count)]


def resident(layer: Data) -> None:
    layer._make_resident(CPU, room=10**6)
    assert layer._resident is not None


def make(source, mean_file) -> Data:
    set_random_seed(6)
    return data_layer(source, 4, TRANSFORM % mean_file, TRAIN)


def assert_same(found, expected):
    for (tops, state), (wanted, wanted_state) in zip(found, expected, strict=True):
        for top, want in zip(tops, wanted, strict=True):
            assert torch.equal(top, want)
        assert state == wanted_state


def ahead(monkeypatch):
    """Batches are made by the thread, as on a GPU."""
    next_batch = Data._next_batch
    monkeypatch.setattr(Data, "_next_batch", lambda layer, ahead: next_batch(layer, True))


def test_resident_records_give_the_same_batches(source, mean_file):
    expected = batches(make(source, mean_file), 7)
    assert len({float(tops[0].sum()) for tops, _ in expected}) == 7
    assert_same(batches(make(source, mean_file), 7, resident), expected)


def test_resident_records_begin_where_the_cursor_is(source, mean_file):
    expected = batches(make(source, mean_file), 7)
    layer = make(source, mean_file)
    found = batches(layer, 2)
    layer.set_state(found[-1][1])
    assert_same(found + batches(layer, 5, resident), expected)


def test_a_thread_ahead_gives_the_same_batches(monkeypatch, source, mean_file):
    expected = batches(make(source, mean_file), 7)
    ahead(monkeypatch)
    assert_same(batches(make(source, mean_file), 7), expected)


@pytest.mark.parametrize("way", ["thread", "resident"])
def test_resumes_from_a_state(monkeypatch, source, mean_file, way):
    """A state is of the last batch that was used, not of the one made ahead."""
    expected = batches(make(source, mean_file), 7)
    if way == "thread":
        ahead(monkeypatch)
    prepare = resident if way == "resident" else lambda layer: None
    layer = make(source, mean_file)
    before = batches(layer, 3, prepare)
    layer.set_state(before[1][1])
    assert_same(batches(layer, 5), expected[2:])


def test_an_error_of_the_thread_is_the_layers(monkeypatch, tmp_path, images):
    records = [datum(image) for image in images]
    records[6].data = records[6].data[:-1]
    ahead(monkeypatch)
    layer = data_layer(write_lmdb(tmp_path / "broken", records), 4, "", TRAIN)
    layer.forward([], [])
    with pytest.raises(DataError, match="00000006.*125 values are not an image"):
        layer.forward([], [])


def test_stays_where_it_is_unless_it_fits(source, images, tmp_path):
    size = 11 * 3 * 6 * 7
    assert ResidentRecords.load(str(source), CPU, size - 1) is None
    assert len(ResidentRecords.load(str(source), CPU, size).keys) == 11
    other = np.zeros((3, 5, 7), np.uint8)
    mixed = write_lmdb(tmp_path / "mixed", [datum(image) for image in [*images, other]])
    assert ResidentRecords.load(str(mixed), CPU, 10**6) is None
    floats = write_lmdb(tmp_path / "floats", [datum(images[0].astype(np.float32))])
    assert ResidentRecords.load(str(floats), CPU, 10**6) is None


def test_take_goes_round(source):
    cursor, records = RecordCursor(str(source)), ResidentRecords.load(str(source), CPU, 10**6)
    for count in (4, 4, 4, 11, 25):
        keys, datums = cursor.take(count)
        pixels, labels = records.take(count)
        assert len(keys) == count
        assert labels.tolist() == [datum.label for datum in datums]
        assert pixels.numpy().tobytes() == b"".join(datum.data for datum in datums)
        assert records.key == cursor.key


@pytest.mark.parametrize("count", [2, 3])
def test_several_solvers_share_the_records(monkeypatch, source, mean_file, count):
    """In turns they give the records of one larger batch; all continue from the same record."""
    transform = TRANSFORM.replace("mirror: true crop_size: 4", "") % mean_file
    whole = data_layer(source, 4 * count, transform, phase=TRAIN)
    share = []
    monkeypatch.setattr("caffe._workers.multi_solver._count", count)
    for rank in range(count):
        monkeypatch.setattr("caffe._workers.multi_solver._rank", rank)
        layers = [data_layer(source, 4, transform, phase=TRAIN) for _ in range(2)]
        resident(layers[1])
        share.append(layers)
    for _ in range(5):
        data, labels = whole.forward([], [])
        for rank, layers in enumerate(share):
            for layer in layers:
                ours, our_labels = layer.forward([], [])
                torch.testing.assert_close(ours, data[rank::count], rtol=0, atol=0)
                assert our_labels.tolist() == labels[rank::count].tolist()
                assert layer.get_state()["next_key"] == whole.get_state()["next_key"]
    assert len(data_layer(source, 5).forward([], [])[1]) == 5  # testing takes all records
    assert data_layer(source, 5).forward([], [])[1].tolist() == list(range(5))


def test_differences_that_separate_records(tmp_path, images):
    paths = [write_lmdb(tmp_path / name, [datum(i, 1) for i in some]) for name, some in
             {"all": images, "less": images[:-1], "other": images[::-1], "again": images}.items()]  # fmt: skip
    told = []
    for path in paths:
        cursor = RecordCursor(str(path))
        cursor.take(3)
        here = cursor.key
        told.append(cursor.identity())
        assert cursor.key == here
    assert len(set(told)) == 3 and told[0] == told[3]


def test_the_cpu_takes_no_memory_for_them(source, mean_file):
    assert device.current().type == "cpu"
    layer = make(source, mean_file)
    layer.forward([], [])
    assert layer._resident is None and layer._thread is None
