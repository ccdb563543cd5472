"""Scores pulled with pycaffe: compared with loops in NumPy and with the net's own TEST phase."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from PIL import Image

from ensemble import combine, submission
from ensemble.scoring import deploy_net, records, scores
from ensemble.scoring.score_file import load
from tests.ensemble import small_ensemble as small


@pytest.fixture
def expected(tmp_path, monkeypatch):
    """A small experiment in the current folder; what `prob` must be, by model and split."""
    monkeypatch.chdir(tmp_path)
    return small.make(tmp_path)


def slow_accuracy(prob: np.ndarray, labels: np.ndarray, top_k: int) -> float:
    """Caffe's rule for one image after the other, on the scores of the float64 loops."""
    better = [sum(row[c] >= row[label] for c in range(200) if c != label) for row, label in zip(prob, labels)]
    return sum(count < top_k for count in better) / len(labels)


def test_scores_are_those_of_the_loops_in_the_order_of_the_records(expected, tmp_path, capsys):
    for model in small.MODELS:
        assert scores.main([model, "--batch", "6"]) is None, "21, 17 and 11 images all leave a partial batch"
        for split, count in small.SIZES.items():
            found = load(tmp_path / "runs", model, split)
            assert found.scores.dtype == np.float32
            np.testing.assert_allclose(found.scores, expected[model][split], rtol=0, atol=5e-6)
            names = [f"{split}/images/{split}_{i * 7 % count}.JPEG" for i in range(count)]
            assert found.names.tolist() == names
            assert found.iteration == 20
            assert found.snapshot == f"runs/{model}/{model}_iter_20.caffemodel"
            if split == "test":
                assert np.isnan(found.accuracy) and (found.labels == -1).all()
            else:
                assert found.accuracy == slow_accuracy(expected[model][split], found.labels, 1) > 0
                assert found.accuracy_top5 == slow_accuracy(expected[model][split], found.labels, 5)
                assert found.accuracy < found.accuracy_top5 < 1
    printed = capsys.readouterr().out
    assert f"two val: accuracy {load(tmp_path / 'runs', 'two', 'val').accuracy:.4f}, top-5 " in printed
    assert "images/s" in printed


def test_the_accuracy_is_the_one_of_the_test_phase(expected, tmp_path):
    for model in small.MODELS:
        assert scores.main([model, "--split", "val", "--batch", "8"]) is None
    for model in small.MODELS:
        snapshot = f"runs/{model}/{model}_iter_20.caffemodel"
        net = caffe.Net(f"models/{model}/train_val.prototxt", caffe.TEST, weights=snapshot)
        tested = [float(net.forward()["accuracy"]) for _ in range(3)]
        assert load(tmp_path / "runs", model, "val").accuracy == pytest.approx(sum(tested) / 3, abs=1e-6)


def test_the_accuracy_is_read_before_the_softmax_rounds_scores_into_a_tie(expected, tmp_path):
    weights = small.make_weights(11)
    weights["ip"][0][:], weights["ip"][1][:] = 0, 0
    weights["ip"][1][7] = 1e-9
    small.write_snapshot(tmp_path / "runs/one/one_iter_20.caffemodel", "one", weights)
    datums = [small.raw_datum(np.zeros(small.SHAPE, np.uint8), label) for label in (7, 8, 7)]
    small.write_lmdb(tmp_path / "more/val_lmdb", [f"val_{i}.JPEG" for i in range(3)], datums)
    (tmp_path / "data/lmdb/mean.binaryproto").rename(tmp_path / "more/mean.binaryproto")
    assert scores.main(["one", "--split", "val", "--data", "more"]) is None
    found = load(tmp_path / "runs", "one", "val")
    assert len(np.unique(found.scores)) == 1, "the Softmax ties them all"
    assert found.accuracy == pytest.approx(2 / 3)


def test_outputs_stay_as_they_were_when_the_next_batch_goes_through(expected, tmp_path):
    mean = records.read_mean(tmp_path / "data/lmdb/mean.binaryproto")
    deploy, snapshot = (Path(p) for p in ("models/one/deploy.prototxt", "runs/one/one_iter_20.caffemodel"))
    net = deploy_net.DeployNet(deploy, snapshot, mean)
    first = net(np.zeros((2, *small.SHAPE), np.uint8))
    kept = [side.copy() for side in first]
    net(np.full((2, *small.SHAPE), 200, np.uint8))
    for side, copy in zip(first, kept):
        np.testing.assert_array_equal(side, copy)


def test_from_scores_to_submission(expected, tmp_path):
    for model in small.MODELS:
        assert scores.main([model]) is None
    assert combine.main(list(small.MODELS)) is None
    assert submission.main([]) is None
    lines = (tmp_path / "runs" / "ensemble" / "submission.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"test_{i}.JPEG" for i in range(17)]


def test_the_newest_snapshot_is_taken_unless_one_is_named(expected, tmp_path):
    run = tmp_path / "runs" / "one"
    # 100 comes after 20 as a number, before it as text.
    small.write_snapshot(run / "one_iter_100.caffemodel", "one", small.make_weights(5))
    assert scores.main(["one", "--split", "val"]) is None
    newest = load(tmp_path / "runs", "one", "val")
    assert newest.iteration == 100
    assert scores.main(["one", "--split", "val", "--snapshot", "runs/one/one_iter_20.caffemodel"]) is None
    older = load(tmp_path / "runs", "one", "val")
    assert older.iteration == 20 and older.snapshot_sha256 != newest.snapshot_sha256
    np.testing.assert_allclose(older.scores, expected["one"]["val"], rtol=0, atol=5e-6)


def encoded_datum(image: np.ndarray, file_format: str):
    """A Datum with a BGR (C, H, W) or gray (H, W) image as a file's bytes, without its size."""
    pixels = image if image.ndim == 2 else image[::-1].transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, file_format)
    return caffe_pb2.Datum(data=file.getvalue(), label=3, encoded=True)


def test_scores_that_are_there_are_not_made_again(expected, tmp_path, capsys, monkeypatch):
    path, deploy = tmp_path / "runs/one/scores/val.npz", tmp_path / "models/one/deploy.prototxt"

    def made(*options) -> bool:
        before = path.stat().st_mtime_ns
        assert scores.main(["one", "--split", "val", *options]) is None
        printed = capsys.readouterr().out
        assert (path.stat().st_mtime_ns > before) == ("accuracy" in printed) != ("is of" in printed)
        return "accuracy" in printed

    assert scores.main(["one", "--split", "val"]) is None
    capsys.readouterr()
    assert not made() and made("--again") and made("--deploy", str(deploy))
    deploy.touch()
    assert made() and not made()
    (tmp_path / "data/lmdb/val_lmdb/data.mdb").touch()
    assert made() and not made()
    small.write_snapshot(tmp_path / "runs/one/one_iter_40.caffemodel", "one", small.make_weights(3))
    assert made() and not made()
    monkeypatch.setattr(caffe, "__file__", "/usr/lib/python3/dist-packages/caffe/__init__.py")
    assert made() and not made(), "another Caffe's scores are others"
    monkeypatch.setenv("CAFFE_PRECISION", "tf32")
    assert made() and not made(), "and those of another precision"
    path.write_bytes(b"broken")
    assert made()


def test_images_that_may_have_been_trained_on_are_not_held_out(expected, tmp_path):
    """No training uses the other splits, so their scores are allowed."""
    line = {"time": "2026-03-05T22:15:00+00:00", "event": "start", "iteration": 0, "data": "mean 0123"}
    (tmp_path / "runs/one/journal.jsonl").write_text(json.dumps(line) + '\n{"cut by a cra')
    said = scores.main(["one"])
    assert "runs/one: was trained on other images than those of data/lmdb" in said
    assert not (tmp_path / "runs/one/scores").exists()
    assert scores.main(["one", "--split", "val", "test"]) is None
    own = hashlib.sha256((tmp_path / "data/lmdb/mean.binaryproto").read_bytes()).hexdigest()
    (tmp_path / "runs/one/journal.jsonl").write_text(json.dumps(line | {"data": f"mean {own}"}) + "\n")
    assert scores.main(["one"]) is None


def test_encoded_records_decode_to_bgr_and_mix_with_raw_ones(tmp_path):
    random = np.random.default_rng(4)
    images = random.integers(0, 256, (3, *small.SHAPE)).astype(np.uint8)
    gray = random.integers(0, 256, small.SHAPE[1:]).astype(np.uint8)
    flat = np.stack([np.full(small.SHAPE[1:], value, np.uint8) for value in (20, 90, 200)])
    datums = [small.raw_datum(images[0], 3), encoded_datum(images[1], "PNG"), encoded_datum(gray, "PNG"),
              encoded_datum(images[2], "PNG"), encoded_datum(flat, "JPEG")]  # fmt: skip
    small.write_lmdb(tmp_path / "val_lmdb", [f"train/n01/images/n01_{i}.JPEG" for i in range(5)], datums)
    with records.Split(tmp_path / "val_lmdb") as split:
        batches = list(split.batches(2, small.SHAPE))
    assert [len(batch.names) for batch in batches] == [2, 2, 1]
    found = np.concatenate([batch.images for batch in batches])
    for at, image in ((0, images[0]), (1, images[1]), (2, np.stack([gray] * 3)), (3, images[2])):
        np.testing.assert_array_equal(found[at], image)
    assert np.abs(found[4].astype(int) - flat).max() <= 3
    assert batches[2].names == ["train/n01/images/n01_4.JPEG"] and batches[2].labels.tolist() == [3]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_encoded_photo_is_turned_as_its_camera_says(tmp_path, orientation):
    """As Caffe's Data layer turns it before a net sees it."""
    channels, height, width = small.SHAPE
    row, column = np.mgrid[:height, :width]
    upright = (10 * row + 3 * column).astype(np.uint8)
    # How a camera stores it: the inverse of what the orientation asks for.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: upright.T[::-1], 7: upright[::-1, ::-1].T, 8: upright.T[:, ::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(file, "JPEG", quality=100, exif=exif)
    datum = caffe_pb2.Datum(data=file.getvalue(), label=3, encoded=True)
    small.write_lmdb(tmp_path / "val_lmdb", ["train/n01/images/n01_0.JPEG"], [datum])
    with records.Split(tmp_path / "val_lmdb") as split:
        (batch,) = split.batches(2, small.SHAPE)
    assert np.abs(batch.images[0].astype(int) - upright).max() <= 3


def test_a_mean_with_the_newer_shape_field_reads_the_same(expected, tmp_path):
    old = records.read_mean(tmp_path / "data/lmdb/mean.binaryproto")
    blob = caffe_pb2.BlobProto(data=old.ravel().tolist())
    blob.shape.dim.extend((1, *small.SHAPE))
    (tmp_path / "new.binaryproto").write_bytes(blob.SerializeToString())
    np.testing.assert_array_equal(records.read_mean(tmp_path / "new.binaryproto"), old)


def refused(tmp_path, *said: str, arguments: tuple[str, ...] = ()) -> None:
    """Scores of `one` end in one line that says all this, and write nothing."""
    error = scores.main(["one", "--split", "val", *arguments])
    assert error is not None and "\n" not in error
    assert all(text in error for text in said), error
    assert not list((tmp_path / "runs").glob("*/scores/*"))


@pytest.mark.parametrize("gpu, number", [("", None), ("3", 3), ("2,0", 2), ("all", 0)])
def test_of_several_gpus_the_first_is_taken(monkeypatch, gpu, number):
    asked = []
    monkeypatch.setattr(caffe, "set_device", asked.append)
    for mode in ("cpu", "gpu"):
        monkeypatch.setattr(caffe, f"set_mode_{mode}", lambda mode=mode: asked.append(mode))
    deploy_net.use(gpu)
    assert asked == (["cpu"] if number is None else [number, "gpu"])


def test_missing_files_name_the_command_that_makes_them(expected, tmp_path):
    refused(tmp_path, "runs/none.caffemodel", arguments=("--snapshot", "runs/none.caffemodel"))
    refused(tmp_path, "data/no/mean.binaryproto", "`make lmdb`", arguments=("--data", "data/no"))
    refused(tmp_path, "models/no.prototxt", "`make models`", arguments=("--deploy", "models/no.prototxt"))
    refused(tmp_path, "--batch 0", arguments=("--batch", "0"))
    (tmp_path / "data/lmdb/val_lmdb/data.mdb").unlink()
    refused(tmp_path, "val_lmdb", "`make lmdb`")
    (tmp_path / "runs/one/one_iter_20.caffemodel").unlink()
    refused(tmp_path, "runs/one", "`make train-one`")


def test_an_lmdb_that_does_not_fit_is_refused(expected, tmp_path):
    val = tmp_path / "data" / "lmdb" / "val_lmdb"

    def replace(datums: list) -> None:
        (val / "data.mdb").unlink()
        (val / "lock.mdb").unlink()
        small.write_lmdb(val, ["val/images/val_0.JPEG"] * len(datums), datums)

    replace([])
    refused(tmp_path, "val_lmdb", "empty")
    good = small.raw_datum(np.zeros(small.SHAPE, np.uint8), 0)
    replace([good, small.raw_datum(np.zeros((3, 12, 17), np.uint8), 0)])
    refused(tmp_path, "00000001_val/images/val_0.JPEG", "(3, 12, 17)", "(3, 13, 17)")
    short = small.raw_datum(np.zeros(small.SHAPE, np.uint8), 0)
    short.data = short.data[:-1]
    replace([short])
    refused(tmp_path, "00000000_val", "662 bytes")
    replace([encoded_datum(np.zeros((3, 14, 17), np.uint8), "PNG")])
    refused(tmp_path, "(3, 14, 17)")
    replace([caffe_pb2.Datum(data=b"no image", encoded=True, label=0)])
    refused(tmp_path, "00000000_val", "does not decode")
    replace([small.raw_datum(np.zeros(small.SHAPE, np.uint8), 200)])
    refused(tmp_path, "a label not in -1 to 199")
    (val / "data.mdb").write_bytes(b"nothing of the kind" * 1000)
    refused(tmp_path, "val_lmdb/data.mdb", "cut or damaged (not an LMDB data file", "`make lmdb` builds it again")


def test_a_mean_that_does_not_fit_is_refused(expected, tmp_path):
    mean = tmp_path / "data" / "lmdb" / "mean.binaryproto"
    whole = mean.read_bytes()
    mean.write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "mean.binaryproto", "`make lmdb`")
    small.write_mean(mean, np.zeros((3, 5, 17), np.float32))
    refused(tmp_path, "deploy.prototxt", "(3, 6, 6)", "(3, 5, 17)")
    small.write_mean(mean, np.zeros((1, 13, 17), np.float32))
    refused(tmp_path, "(3, 6, 6)", "(1, 13, 17)")


@pytest.mark.parametrize("find, put, said", [
    ("num_output: 200", "num_output: 199", "not 200 classes"),
    ('top: "prob"', 'top: "probability"', "no Softmax layer with top `prob`"),
    ("kernel_size: 3", "kernel_sise: 3", "kernel_sise"),
    ('type: "ReLU"', 'type: "RelU"', "RelU"),
    ('layer { name: "data" type: "Input" top: "data"',
     'layer { name: "more" type: "Input" top: "more" input_param { shape { dim: 2 dim: 7 } } }\n'
     'layer { name: "data" type: "Input" top: "data"', "inputs"),
])  # fmt: skip
def test_a_deploy_net_that_does_not_fit_is_refused(expected, tmp_path, find, put, said):
    deploy = tmp_path / "models" / "one" / "deploy.prototxt"
    text = deploy.read_text()
    assert find in text
    deploy.write_text(text.replace(find, put))
    refused(tmp_path, "models/one/deploy.prototxt", said)


def test_a_layer_without_weights_may_have_the_name_of_one_with(expected, tmp_path):
    snapshot = tmp_path / "runs" / "one" / "one_iter_20.caffemodel"
    model = caffe_pb2.NetParameter.FromString(snapshot.read_bytes())
    model.layer.add(name="ip", type="ReLU")
    snapshot.write_bytes(model.SerializeToString())
    assert scores.main(["one", "--split", "val"]) is None


def test_a_snapshot_of_another_net_is_refused(expected, tmp_path):
    snapshot = tmp_path / "runs" / "one" / "one_iter_20.caffemodel"
    whole, weights = snapshot.read_bytes(), small.make_weights(11)
    snapshot.write_bytes((tmp_path / "runs/two/two_iter_20.caffemodel").read_bytes())
    refused(tmp_path, "one_iter_20.caffemodel", "holds the net 'two'", "than 'one'")
    small.write_snapshot(snapshot, "one", {"conv": weights["conv"]})
    refused(tmp_path, "no weights for layer ip", "another net")
    small.write_snapshot(snapshot, "one", {**weights, "ip": [weights["ip"][0].T, weights["ip"][1]]})
    refused(tmp_path, "layer ip has weights [(80, 200), (200,)]", "[(200, 80), (200,)]")
    small.write_snapshot(snapshot, "one", {**weights, "conv": weights["conv"][:1]})
    refused(tmp_path, "layer conv has weights [(5, 3, 3, 3)]")
    snapshot.write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "one_iter_20.caffemodel", "not a whole .caffemodel")


def test_a_diverged_snapshot_writes_no_scores(expected, tmp_path):
    weights = small.make_weights(11)
    weights["ip"][1][:] = np.nan
    small.write_snapshot(tmp_path / "runs/one/one_iter_20.caffemodel", "one", weights)
    refused(tmp_path, "diverged")
