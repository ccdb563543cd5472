"""HDF5Data's rows and their order, HDF5Output's files, and the refused configurations."""

import json
from collections import Counter

import h5py
import numpy as np
import pytest
from caffe import TRAIN, CaffeError, DataError

from tests.engine.build import input_layer, make_layer, make_net

COUNTS = (5, 3, 4)


@pytest.fixture
def source(tmp_path):
    """A list of three files with rows 0 to 11; labels are the row's number, images hold it."""
    first, names = 0, []
    for index, count in enumerate(COUNTS):
        rows = np.arange(first, first + count)
        first += count
        names.append(tmp_path / f"{index}.h5")
        with h5py.File(names[-1], "w") as file:
            file["image"] = np.broadcast_to(rows[:, None, None], (count, 2, 3)).astype(np.float64)
            file["label"] = rows
    (tmp_path / "list.txt").write_text("\n".join(map(str, names)) + "\n")
    return tmp_path / "list.txt"


def hdf5_data(source, batch, more=""):
    text = f'hdf5_data_param {{ source: "{source}" batch_size: {batch} {more} }}'
    return make_layer(f'type: "HDF5Data" top: "image" top: "label" {text}', phase=TRAIN)


def rows_of(layer, batches=1) -> list[int]:
    rows = []
    for _ in range(batches):
        image, label = (top.numpy() for top in layer.forward([], []))
        assert [image.shape, label.shape] == layer.top_shapes([]) and image.dtype == np.float32
        assert (image == label[:, None, None]).all()
        rows += label.astype(int).tolist()
    return rows


@pytest.mark.parametrize("batch", [1, 5, 7, 12, 25])
def test_order_across_files_and_round(source, batch):
    assert rows_of(hdf5_data(source, batch), 4) == [i % 12 for i in range(4 * batch)]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_several_solvers_share_the_rows(monkeypatch, source, batch):
    monkeypatch.setattr("caffe._workers.multi_solver._count", 3)
    for rank in range(3):
        monkeypatch.setattr("caffe._workers.multi_solver._rank", rank)
        assert rows_of(hdf5_data(source, batch), 4) == [i % 12 for i in range(rank, 12 * batch, 3)]


def test_one_file(source):
    source.write_text(source.read_text().split()[1])
    assert rows_of(hdf5_data(source, 2), 3) == [5, 6, 7, 5, 6, 7]


def test_shuffle(source):
    """Each time round every row comes once, each file's rows together, in orders that differ."""
    files = np.repeat(range(3), COUNTS)
    layer = hdf5_data(source, 4, "shuffle: true")
    rounds = [rows_of(layer, 3) for _ in range(30)]
    for rows in rounds:
        assert sorted(rows) == list(range(12))
        changes = sum(a != b for a, b in zip(files[rows], files[rows][1:], strict=False))
        assert changes == 2
    assert len({tuple(rows) for rows in rounds}) == 30
    first_files = Counter(files[rows[0]] for rows in rounds)
    assert min(first_files[i] for i in range(3)) >= 3


def test_shuffle_of_one_file(source):
    source.write_text(source.read_text().split()[0])
    layer = hdf5_data(source, 5, "shuffle: true")
    rounds = [tuple(rows_of(layer)) for _ in range(10)]
    assert all(sorted(rows) == [0, 1, 2, 3, 4] for rows in rounds) and len(set(rounds)) > 5


@pytest.mark.parametrize("more", ["", "shuffle: true"])
@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
def test_state_resumes_exactly(source, more, before):
    layer = hdf5_data(source, 3, more)
    rows_of(layer, before)
    state = json.loads(json.dumps(layer.get_state()))
    expected = rows_of(layer, 13)
    other = hdf5_data(source, 3, more)
    rows_of(other, 2)
    other.set_state(state)
    assert rows_of(other, 13) == expected


class TestRefused:
    def refuse(self, source, message, batch=12, more=""):
        with pytest.raises(CaffeError, match=message):
            rows_of(hdf5_data(source, batch, more))

    def test_list(self, source, tmp_path):
        self.refuse(tmp_path / "gone.txt", "failed to open source file .*gone.txt")
        source.write_text(" \n")
        self.refuse(source, "at least 1 HDF5 filename")

    def test_files(self, source, tmp_path):
        (tmp_path / "1.h5").write_bytes(b"no HDF5")
        self.refuse(source, "1.h5 is not an HDF5 file")
        (tmp_path / "0.h5").unlink()
        self.refuse(source, "Could not open file .*0.h5")

    @pytest.mark.parametrize(
        "name, values, message",
        [
            ("label", None, "label"),
            ("label", np.zeros(2), "the same number each"),
            ("label", np.float32(3), "must have rows"),
            ("image", np.zeros((3, 2, 4)), r"1.h5: rows are of shapes \[\(2, 4\), \(\)\]"),
            ("image", np.array([b"a", b"b", b"c"]), "does not hold numbers"),
        ],
    )
    def test_datasets(self, source, tmp_path, name, values, message):
        with h5py.File(tmp_path / "1.h5", "a") as file:
            del file[name]
            if values is not None:
                file[name] = values
        self.refuse(source, message)

    def test_fields(self, source):
        self.refuse(source, "batch_size must be 1", batch=0)
        self.refuse(source, "does not transform data", more="} transform_param { scale: 2")

    def test_state_of_other_files(self, source):
        layer = hdf5_data(source, 2)
        with pytest.raises(DataError, match="lists other files"):
            layer.set_state(layer.get_state() | {"files": [0, 1]})
        with pytest.raises(DataError, match="fewer rows than before"):
            layer.set_state(layer.get_state() | {"row": 5})


class TestOutput:
    def net(self, path, label=(3,)):
        text = f'layer {{ name: "out" type: "HDF5Output" bottom: "x" bottom: "y" hdf5_output_param {{ file_name: "{path}" }} }}'
        return make_net(input_layer(x=(3, 4, 2), y=label) + text)

    def test_four_axes_and_one_batch(self, tmp_path, rng):
        net = self.net(tmp_path / "out.h5")
        x, y = rng.normal(size=(3, 4, 2)).astype(np.float32), np.array([5, 0, 2], np.float32)
        with h5py.File(tmp_path / "out.h5") as file:
            assert list(file) == []
        net.forward(x=x, y=y)
        with h5py.File(tmp_path / "out.h5") as file:
            assert list(file) == ["data", "label"] and file["label"].shape == (3, 1, 1, 1)
            np.testing.assert_array_equal(file["data"], x[..., None])
            np.testing.assert_array_equal(file["label"][:].ravel(), y)
        with pytest.raises(CaffeError, match="holds a batch already"):
            net.forward(x=x, y=y)

    def test_refused(self, tmp_path):
        with pytest.raises(CaffeError, match="same batch size"):
            self.net(tmp_path / "out.h5", (4,))
        with pytest.raises(DataError, match="'out' .*Cannot write .*gone"):
            self.net(tmp_path / "gone" / "out.h5")
