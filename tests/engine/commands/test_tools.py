"""Caffe's other commands, run in this process: command lines, output files and errors."""

import os

import lmdb
import numpy as np
import pytest
from caffe import DataError
from caffe._commands import (
    command_line,
    compute_image_mean,
    convert_imageset,
    extract_features,
    parse_log,
    upgrade_proto,
)
from caffe._commands.record_writer import RecordWriter
from caffe._data.image import decode_image
from caffe._files import prototxt
from caffe.proto import caffe_pb2
from PIL import Image

from tests.engine.records import datum, write_lmdb


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(path):
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as txn:
        return {key.decode(): caffe_pb2.Datum.FromString(value) for key, value in txn.cursor()}


class TestCommandLine:
    FLAGS = {"gray": False, "width": 3, "backend": "lmdb"}

    @pytest.mark.parametrize(
        "line, flags, rest",
        [
            ("a b", (False, 3, "lmdb"), ["a", "b"]),
            ("--gray a --width 7 b", (True, 7, "lmdb"), ["a", "b"]),
            ("-gray=false -width=7 a -backend x", (False, 7, "x"), ["a"]),
            ("--gray --nogray --width=-1", (False, -1, "lmdb"), []),
            ("--logtostderr --alsologtostderr=1 -- --gray -", (False, 3, "lmdb"), ["--gray", "-"]),
        ],
    )
    def test_as_gflags(self, line, flags, rest):
        found, left = command_line.parse(line.split(), self.FLAGS)
        assert (found.gray, found.width, found.backend) == flags and left == rest

    @pytest.mark.parametrize(
        "line, message",
        [
            ("--grey", "unknown command line flag 'grey'"),
            ("--width", "missing its value"),
            ("--width=x", "illegal value 'x' specified for int32 flag 'width'"),
            ("--gray=maybe", "illegal value 'maybe' specified for bool flag"),
            ("--nowidth", "unknown command line flag 'nowidth'"),
        ],
    )
    def test_refused(self, line, message):
        with pytest.raises(command_line.UsageError, match=message):
            command_line.parse(line.split(), self.FLAGS)

    @pytest.mark.parametrize(
        "main, name",
        [
            (convert_imageset.main, "convert_imageset"),
            (compute_image_mean.main, "compute_image_mean"),
            (extract_features.main, "extract_features"),
            (upgrade_proto.upgrade_net_proto_text, "upgrade_net_proto_text"),
            (upgrade_proto.upgrade_net_proto_binary, "upgrade_net_proto_binary"),
            (upgrade_proto.upgrade_solver_proto_text, "upgrade_solver_proto_text"),
        ],
    )
    def test_usage(self, main, name, capsys):
        for arguments in ([], ["--unknown", "a", "b", "c"]):
            assert main(arguments) == 1
            assert f"usage: {name} " in capsys.readouterr().err
        assert main(["--help"]) == 0
        told = capsys.readouterr()
        assert told.out.startswith(f"usage: {name} ") and "\n  --log_dir=DIR\n" in told.out and not told.err


class TestConvertImageset:
    @pytest.fixture
    def image(self, tmp_path, rng):
        """An RGB image (5, 6, 3) as a PNG, and a list with its name twice and a missing name."""
        pixels = rng.integers(0, 256, (5, 6, 3), np.uint8)
        Image.fromarray(pixels).save("a.png")
        (tmp_path / "list").write_text("a.png 7\nmissing.png 3\na.png -2\n")
        return pixels

    def test_records(self, image, log_lines):
        assert convert_imageset.main(["./", "list", "db"]) == 0
        found = read("db")
        assert list(found) == ["00000000_a.png", "00000002_a.png"]
        one, two = found.values()
        assert (one.channels, one.height, one.width, one.label, two.label) == (3, 5, 6, 7, -2)
        assert one.data == image[:, :, ::-1].transpose(2, 0, 1).tobytes() and not one.encoded
        assert [line.split(":")[0] for line in log_lines] == [
            "A total of 3 images.", "Could not open or find file ./missing.png", "Processed 2 files.",
        ]  # fmt: skip

    def test_encoded_is_the_file(self, image, tmp_path):
        assert convert_imageset.main(["--encoded", "./", "list", "db"]) == 0
        one = next(iter(read("db").values()))
        assert one.data == (tmp_path / "a.png").read_bytes() and one.encoded and not one.HasField("channels")

    def test_resize_to_half_is_means_of_four(self, tmp_path, rng):
        pixels = rng.integers(0, 256, (6, 8), np.uint8)
        Image.fromarray(pixels).save("g.png")
        (tmp_path / "list").write_text("g.png 0")
        assert convert_imageset.main(["--gray", "--resize_width=4", "--resize_height=3", "./", "list", "db"]) == 0
        (one,) = read("db").values()
        means = (pixels.reshape(3, 2, 4, 2).sum(axis=(1, 3), dtype=int) + 2) // 4
        assert one.data == means.astype(np.uint8).tobytes()

    @pytest.mark.parametrize("size", [(3, 5), (7, 4), (11, 13)])
    def test_resize_is_linear_between_centres(self, size, tmp_path, rng):
        pixels = rng.integers(0, 256, (6, 8), np.uint8)
        Image.fromarray(pixels).save("g.png")
        (tmp_path / "list").write_text("g.png 0")
        flags = [f"--resize_height={size[0]}", f"--resize_width={size[1]}"]
        assert convert_imageset.main(["--gray", *flags, "./", "list", "db"]) == 0
        (one,) = read("db").values()
        found = np.frombuffer(one.data, np.uint8).reshape(size)
        for i, j in np.ndindex(size):
            y, x = ((k + 0.5) * old / new - 0.5 for k, old, new in ((i, 6, size[0]), (j, 8, size[1])))
            y, x = np.clip(y, 0, 5), np.clip(x, 0, 7)
            rows = [np.interp(x, range(8), pixels[k]) for k in range(6)]
            assert abs(found[i, j] - np.interp(y, range(6), rows)) <= 1, (i, j)

    def test_what_is_there_stays(self, image, tmp_path, log_lines):
        (tmp_path / "db").mkdir()
        assert convert_imageset.main(["./", "list", "db"]) == 1
        assert "mkdir db failed: it is there already" in log_lines[-1]
        assert os.listdir(tmp_path / "db") == []

    def test_nothing_is_left_of_what_failed(self, image, tmp_path, log_lines):
        Image.new("RGB", (9, 9)).save("b.png")
        (tmp_path / "list").write_text("a.png 1\nb.png 2\n")
        assert convert_imageset.main(["--check_size", "./", "list", "db"]) == 1
        assert log_lines[-1] == "b.png: Incorrect data field size 243, not 90."
        assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png", "list"]

    @pytest.mark.parametrize("flags", [[], ["--shuffle"], ["--encoded"]], ids=str)
    def test_a_label_that_is_no_int32_is_named_before_any_work(self, image, tmp_path, log_lines, flags):
        (tmp_path / "list").write_text("a.png 1\n" * 3000 + "a.png 99999999999\n")
        assert convert_imageset.main([*flags, "./", "list", "db"]) == 1
        assert "list, line 3001: the label '99999999999' is no whole number" in log_lines[-1]
        assert sorted(os.listdir(tmp_path)) == ["a.png", "list"] and len(log_lines) == 1

    @pytest.mark.parametrize("kind", ["gif", "pdf", "eps", "nonsense"])
    def test_types_that_nobody_here_could_read(self, image, tmp_path, log_lines, kind):
        (tmp_path / "list").write_text("a.png 1\n")
        assert convert_imageset.main([f"--encode_type={kind}", "./", "list", "db"]) == 1
        assert log_lines[-1] == f"--encode_type={kind}: images cannot be encoded as that; try png or jpg."
        assert not (tmp_path / "db").exists()

    @pytest.mark.parametrize("kind", ["png", "jpg", "JPEG", "bmp", "ppm", "tif", "webp"])
    def test_types_that_are_read_again(self, image, tmp_path, kind):
        datum = convert_imageset.make_datum("a.png", 1, 0, 0, True, kind)
        assert datum.encoded and decode_image(datum.data, kind, True).shape == (5, 6, 3)


def test_record_writer_grows_its_map(tmp_path):
    with RecordWriter("db") as writer:
        said = [writer.put(f"{i:04d}", bytes(20_000)) for i in range(1500)]
    assert said.index(True) == 999 and sum(said) == 1
    with lmdb.open("db", readonly=True, lock=False) as env:
        assert env.stat()["entries"] == 1500 and env.info()["map_size"] > 1 << 24


def test_record_writer_takes_over_what_a_dead_one_left(tmp_path):
    (tmp_path / ".db.part").mkdir()
    (tmp_path / ".db.part/data.mdb").write_text("half of it")
    with RecordWriter("db") as writer:
        writer.put("a", b"1")
        with pytest.raises(DataError, match="mkdir db failed: another process is making it"), RecordWriter("db"):
            pass
    assert os.listdir(tmp_path) == ["db"]


def test_record_writer_counts(tmp_path):
    with pytest.raises(DataError, match="db: 2 records were written, but 1 are there"), RecordWriter("db") as writer:
        writer.put("a", b"1")
        writer.put("a", b"2")
    assert os.listdir(tmp_path) == []


class TestComputeImageMean:
    def test_mean(self, rng, tmp_path, log_lines):
        images = rng.integers(0, 256, (5, 3, 4, 6), np.uint8)
        write_lmdb(tmp_path / "db", map(datum, images))
        assert compute_image_mean.main(["db", "mean"]) == 0
        blob = caffe_pb2.BlobProto.FromString((tmp_path / "mean").read_bytes())
        assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 4, 6)
        expected = images.astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(np.reshape(blob.data, (3, 4, 6)), expected, rtol=1e-6)
        assert f"mean_value channel [2]: {expected[2].mean():g}" in log_lines

    def test_sizes_differ(self, rng, tmp_path, log_lines):
        images = [datum(rng.integers(0, 256, (3, 4, width), np.uint8)) for width in (6, 5)]
        write_lmdb(tmp_path / "db", images)
        assert compute_image_mean.main(["db", "mean"]) == 1
        assert log_lines[-1] == "db, record 00000001: Incorrect data field size 60, not 72."
        assert not (tmp_path / "mean").exists()

    def test_other_backend(self, log_lines):
        assert compute_image_mean.main(["--backend=leveldb", "db"]) == 1
        assert "leveldb is not" in log_lines[-1]


class TestExtractFeatures:
    @pytest.fixture
    def arguments(self, tmp_path, rng):
        """Arguments for a net that gives data (2, 3, 4, 5) and its first axis' labels, from three records."""
        self.images = rng.integers(0, 256, (3, 3, 4, 5), np.uint8)
        write_lmdb(tmp_path / "db", [datum(image, label) for label, image in enumerate(self.images)])
        (tmp_path / "net.prototxt").write_text(
            'layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 2 '
            'backend: LMDB } } layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" '
            "inner_product_param { num_output: 6 } }"
        )
        weights = caffe_pb2.NetParameter(layer=[{"name": "none"}])
        (tmp_path / "weights").write_bytes(weights.SerializeToString())
        return ["weights", "net.prototxt", "data,label", "one,two", "2", "lmdb"]

    def test_records(self, arguments):
        assert extract_features.main(arguments) == 0
        data, labels = read("one"), read("two")
        assert list(data) == list(labels) == [f"{i:010d}" for i in range(4)]
        for record, image in zip(data.values(), self.images[[0, 1, 2, 0]], strict=True):
            assert (record.channels, record.height, record.width) == (3, 4, 5)
            np.testing.assert_array_equal(record.float_data, image.ravel())
        assert [list(record.float_data) for record in labels.values()] == [[0], [1], [2], [0]]
        assert (labels["0000000000"].channels, labels["0000000000"].height) == (1, 1)

    @pytest.mark.parametrize(
        "index, value, message",
        [
            (2, "data", "blob names and dataset names must be equal"),
            (2, "data,fc7", "Unknown feature blob name fc7 in the network net.prototxt"),
            (4, "x", "BATCHES must be a number"),
            (5, "leveldb", "leveldb is not"),
        ],
    )
    def test_refused(self, arguments, index, value, message, log_lines):
        arguments[index] = value
        assert extract_features.main(arguments) == 1
        assert message in log_lines[-1]
        assert not os.path.exists("one")


class TestUpgrade:
    def test_text(self, tmp_path):
        (tmp_path / "old").write_text('layers { layer { name: "r" type: "relu" } bottom: "a" top: "b" } input: "a"')
        assert upgrade_proto.upgrade_net_proto_text(["old", "new"]) == 0
        found = prototxt.parse((tmp_path / "new").read_text(), caffe_pb2.NetParameter(), "new")
        expected = caffe_pb2.NetParameter(layer=[{"name": "r", "type": "ReLU", "bottom": ["a"], "top": ["b"]}])
        assert found == expected

    def test_omissions_are_reported(self, tmp_path, log_lines):
        (tmp_path / "old").write_text('layers { layer { name: "r" type: "relu" stride: 3 } }')
        assert upgrade_proto.upgrade_net_proto_text(["old", "new"]) == 1
        assert "Unknown parameter stride for layer type relu" in log_lines and (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        "command, old", [("upgrade_net_proto_text", b"x: 1"), ("upgrade_net_proto_binary", b"\xff")]
    )
    def test_what_does_not_parse(self, command, old, tmp_path):
        (tmp_path / "old").write_bytes(old)
        assert getattr(upgrade_proto, command)(["old", "new"]) == 2
        assert not (tmp_path / "new").exists()

    def test_missing(self, log_lines):
        assert upgrade_proto.upgrade_solver_proto_text(["old", "new"]) == 1
        assert log_lines[-1].startswith("File not found: old")

    def test_solver(self, tmp_path):
        (tmp_path / "old").write_text("solver_type: RMSPROP base_lr: 1")
        assert upgrade_proto.upgrade_solver_proto_text(["old", "new"]) == 0
        assert (tmp_path / "new").read_text() == 'base_lr: 1.0\ntype: "RMSProp"\n'


LOG = """\
I1231 23:59:58.500000  7 solver.cpp:60] Solver scaffolding done.
I1231 23:59:59.000000  7 caffe.cpp:155] Solving nin1
I1231 23:59:59.100000  7 solver.cpp:400] Iteration 0, Testing net (#0)
I1231 23:59:59.200000  7 solver.cpp:450]     Test net output #0: accuracy = 0.1
I1231 23:59:59.200000  7 solver.cpp:450]     Test net output #1: loss = 2.5 (* 1 = 2.5 loss)
I1231 23:59:59.500000  7 solver.cpp:228] Iteration 0, loss = 2.25
I1231 23:59:59.500000  7 solver.cpp:244]     Train net output #0: loss = 2.25 (* 1 = 2.25 loss)
I1231 23:59:59.500000  7 sgd_solver.cpp:106] Iteration 0, lr = 0.01

a line that is no log line
I0101 00:00:01.000000  7 solver.cpp:228] Iteration 5 (3 iter/s, 1s/5 iters), loss = 2
I0101 00:00:01.250000  7 solver.cpp:244]     Train net output #0: loss = 2 (* 1 = 2 loss)
I0101 00:00:01.500000  7 sgd_solver.cpp:106] Iteration 5, lr = 1e-05
I0101 00:00:02.000000  7 solver.cpp:400] Iteration 10, Testing net (#0)
I0101 00:00:02.500000  7 solver.cpp:450]     Test net output #0: accuracy = 0.5
I0101 00:00:02.500000  7 solver.cpp:450]     Test net output #1: loss = 1.5 (* 1 = 1.5 loss)
I0101 00:00:03.000000  7 solver.cpp:228] Iteration 10, loss = 1
I0101 00:00:03.000000  7 solver.cpp:244]     Train net output #0: loss = 1 (* 1 = 1 loss)
"""
# The tables of BVLC's parse_log.py for this log without its two malformed lines, which end it with IndexError.
TRAIN = "NumIters,Seconds,LearningRate,loss\n0.0,0.5,0.01,2.25\n5.0,2.25,0.01,2.0\n10.0,4.0,1e-05,1.0\n"
TEST = "NumIters,Seconds,LearningRate,accuracy,loss\n0.0,0.2,1e-05,0.1,2.5\n10.0,3.5,1e-05,0.5,1.5\n"


class TestParseLog:
    def test_tables(self, tmp_path, capsys):
        (tmp_path / "train.log").write_text(LOG)
        (tmp_path / "out").mkdir()
        assert parse_log.main(["train.log", "out", "--verbose"]) == 0
        assert (tmp_path / "out" / "train.log.train").read_bytes() == TRAIN.replace("\n", "\r\n").encode()
        assert (tmp_path / "out" / "train.log.test").read_bytes() == TEST.replace("\n", "\r\n").encode()
        assert capsys.readouterr().out == "Wrote out/train.log.train\nWrote out/train.log.test\n"

    def test_delimiter_and_cut_log(self, tmp_path, capsys):
        (tmp_path / "train.log").write_text(LOG[: LOG.index("I0101 00:00:02")])
        assert parse_log.main(["train.log", ".", "--delimiter", ";", "--verbose"]) == 0
        assert (tmp_path / "train.log.train").read_text().split("\n")[0] == "NumIters;Seconds;LearningRate;loss"
        # One test pass alone is no row: nothing says that it is whole.
        assert not (tmp_path / "train.log.test").exists()
        assert "Not writing train.log.test; no lines to write" in capsys.readouterr().out

    @pytest.mark.parametrize("text", ["", "I1231 23:59:59.000000  7 x.cpp:1] nothing\n"])
    def test_no_training_log(self, text, tmp_path, log_lines):
        (tmp_path / "train.log").write_text(text)
        assert parse_log.main(["train.log", "."]) == 1
        assert "no solver begins in it" in log_lines[-1]

    def test_missing(self, log_lines):
        assert parse_log.main(["nowhere", "."]) == 1
        assert "Could not open file nowhere" in log_lines[-1]


def test_an_image_that_its_type_cannot_hold_is_left_out(log_lines, tmp_path):
    Image.new("L", (20_000, 1)).save("long.png")
    (tmp_path / "list").write_text("long.png 1\n")
    assert convert_imageset.main(["--encode_type=webp", "./", "list", "db"]) == 0
    assert any("an image of 20000 x 1 cannot be a WEBP" in line for line in log_lines)
