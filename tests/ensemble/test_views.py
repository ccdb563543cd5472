"""Scores with several windows of an image: their places, their mean, and that views never mix."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble import combine, submission
from ensemble.scoring import records, scores, view_gain, views
from ensemble.scoring.score_file import load, save, score_path
from harness.errors import UserError
from tests.ensemble import small_ensemble as small

IMAGE, CROP = small.SHAPE[1:], (small.CROP, small.CROP)  # 13 x 17 and 6: room for 7 down, 11 across

# A net of convolutions alone, which slides over a larger image.
# An image of 6 x 6 gives one place, 13 x 17 gives 8 x 12.
SLIDING = """name: "slides"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "classes" type: "Convolution" bottom: "conv" top: "classes"
        convolution_param { num_output: 200 kernel_size: 4 } }
layer { name: "prob" type: "Softmax" bottom: "classes" top: "prob" }
"""


@pytest.fixture
def expected(tmp_path, monkeypatch):
    """A small experiment in the current folder; what `prob` must be at the centre, by model and split."""
    monkeypatch.chdir(tmp_path)
    return small.make(tmp_path)


def centred(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images of a split less the mean, float64 (N, C, H, W), and their labels."""
    mean = records.read_mean(Path("data/lmdb/mean.binaryproto"))
    with records.Split(Path(f"data/lmdb/{split}_lmdb")) as found:
        batch = next(found.batches(100, small.SHAPE))
    return batch.images.astype(np.float64) - mean, batch.labels


def slow_mean(pixels: np.ndarray, places: list[tuple[int, int]], mirrors=(False, True)) -> np.ndarray:
    """The mean of the probabilities of model "one" over windows of 6 x 6, by loops: (N, 200)."""
    weights = small.make_weights(11)
    found = []
    for image in pixels:
        parts = [image[:, top : top + 6, left : left + 6] for top, left in places]
        each = [small._softmax(small._logits(part[:, :, ::-1] if flip else part, weights))
                for part in parts for flip in mirrors]  # fmt: skip
        found.append(np.mean(each, axis=0))
    return np.array(found)


CORNERS = [(0, 0), (0, 11), (7, 0), (7, 11)]
PLACES = {
    "center": [(3, 5)],
    "center+mirror": [(3, 5)],
    "10crop": [(3, 5), *CORNERS],
    "dense:7": [(top, left) for top in (0, 7) for left in (0, 5, 11)],
    "dense:4": [(top, left) for top in (0, 3, 7) for left in (0, 3, 7, 11)],
}


@pytest.mark.parametrize("view", PLACES)
def test_the_windows_of_a_view(view):
    found = views.windows(view, IMAGE, CROP)
    assert {window[2:4] for window in found} == {CROP}
    flips = (False,) if view == "center" else (False, True)
    assert sorted((w.top, w.left, w.mirror) for w in found) == sorted((*p, f) for p in PLACES[view] for f in flips)
    assert found[0] == (views.center(IMAGE, CROP) if not view.startswith("dense") else (0, 0, 6, 6, False))


def test_a_grid_reaches_both_ends_and_its_steps_are_no_larger_than_asked():
    for room in range(1, 20):
        for step in range(1, 25):
            image = (6 + room, 40)
            rows = sorted(
                {window.top for window in views.windows(f"dense:{step}", image, CROP)}
                if step <= 6 + room
                else {0, room}
            )
            assert rows[0] == 0 and rows[-1] == room and max(np.diff(rows)) <= step
    assert len(views.windows("dense:1", IMAGE, CROP)) == 8 * 12 * 2
    assert views.windows("dense", IMAGE, CROP) == views.windows("dense:4", IMAGE, CROP)


@pytest.mark.parametrize("view", ["center+mirror", "10crop", "dense:3", "whole+mirror"])
def test_a_net_without_a_crop_has_the_image_and_its_mirror(view):
    whole = (0, 0, 13, 17)
    assert views.windows(view, IMAGE, IMAGE) == [(*whole, False), (*whole, True)]


@pytest.mark.parametrize("view", ["", "10 crop", "5crop", "centre", "dense:", "dense:0", "dense:-1", "dense:2.5",
                                  "10crop+mirror", "center+mirror+mirror", "../val", "dense:12345678"])  # fmt: skip
def test_an_unknown_view_is_refused(view):
    with pytest.raises(UserError, match="no such view; there are center, "):
        views.windows(view, IMAGE, CROP)


def test_views_larger_than_the_image_are_refused():
    with pytest.raises(UserError, match="14 x 6 is larger than images of 13 x 17"):
        views.windows("10crop", IMAGE, (14, 6))
    with pytest.raises(UserError, match="a step of 14 pixels is larger than images of 13 x 17"):
        views.windows("dense:14", IMAGE, CROP)


def test_random_windows_are_drawn_as_in_training():
    drawn = views.at_random(4000, IMAGE, CROP, np.random.RandomState(3))
    assert drawn == views.at_random(4000, IMAGE, CROP, np.random.RandomState(3))
    assert drawn != views.at_random(4000, IMAGE, CROP, np.random.RandomState(4))
    counts = {
        name: np.unique([getattr(w, name) for w in drawn], return_counts=True) for name in ("top", "left", "mirror")
    }
    for name, values in {"top": range(8), "left": range(12), "mirror": range(2)}.items():
        assert counts[name][0].tolist() == list(values), "every place, both ends among them"
        assert abs(counts[name][1] - 4000 / len(values)).max() < 5 * np.sqrt(4000 / len(values))


@pytest.mark.parametrize("mirror", [False, True])
def test_a_window_is_cut_mirrored_and_less_the_mean_at_its_place(mirror):
    random = np.random.default_rng(1)
    images, mean = random.integers(0, 256, (3, *small.SHAPE)).astype(np.uint8), random.normal(size=small.SHAPE)
    mean = mean.astype(np.float32)
    out = np.zeros((3, 3, 4, 5), np.float32)
    window = views.Window(2, 9, 4, 5, mirror)
    views.cut(images, mean, window, out)
    for n, c, y, x in np.ndindex(out.shape):
        across = 9 + (4 - x if mirror else x)
        assert out[n, c, y, x] == images[n, c, 2 + y, across] - mean[c, 2 + y, across]
    one_each = np.zeros_like(out)
    views.cut(images, mean, [window, window._replace(top=0), window], one_each)
    np.testing.assert_array_equal(one_each[::2], out[::2])
    assert (one_each[1] != out[1]).any()


def test_scores_of_a_view_are_the_mean_of_the_loops(expected, tmp_path, capsys):
    pixels, labels = centred("val")
    for view in ("center+mirror", "10crop", "dense:7"):
        assert scores.main(["one", "--split", "val", "--batch", "8", "--view", view]) is None
        found = load(tmp_path / "runs", "one", "val", view)
        prob = slow_mean(pixels, PLACES[view])
        np.testing.assert_allclose(found.scores, prob, rtol=0, atol=5e-6)
        assert (found.view, found.windows) == (view, 2 * len(PLACES[view])) and found.seconds > 0
        hits = [sum(row[c] >= row[k] for c in range(200) if c != k) == 0 for row, k in zip(prob, labels)]
        assert found.accuracy == np.mean(hits)
    np.testing.assert_allclose(load(tmp_path / "runs", "one", "val").scores, expected["one"]["val"], rtol=0, atol=5e-6)
    printed = capsys.readouterr().out
    assert "one val 10crop: accuracy" in printed and "of 10 windows each" in printed
    assert re.search(r"one val: 10crop over center [+-]0\.\d{4} \(95 %: [+-]0\.\d{4} to \+0\.\d{4}", printed)
    assert "10 windows instead of 1" in printed


def test_the_centre_is_as_it_was_whatever_else_is_asked(expected, tmp_path):
    path = score_path(tmp_path / "runs", "one", "val")
    assert scores.main(["one", "--split", "val"]) is None
    before, made = load(tmp_path / "runs", "one", "val"), path.stat().st_mtime_ns
    assert scores.main(["one", "--split", "val", "--view", "dense:7"]) is None
    assert path.stat().st_mtime_ns == made and path == tmp_path / "runs/one/scores/val.npz"
    assert (tmp_path / "runs/one/scores/dense7/val.npz").is_file()
    assert (before.view, before.windows) == ("center", 1)


def test_the_test_split_has_no_labels_and_needs_no_centre(expected, tmp_path, capsys):
    assert scores.main(["one", "--split", "test", "--view", "10crop"]) is None
    assert "no labels" in capsys.readouterr().out
    assert [str(path.parent.name) for path in tmp_path.glob("runs/one/scores/**/test.npz")] == ["10crop"]


def test_views_that_are_there_are_not_made_again(expected, tmp_path, capsys):
    arguments = ["one", "--split", "val", "--view", "center+mirror", "10crop"]
    assert scores.main(arguments) is None
    capsys.readouterr()
    assert scores.main(arguments) is None
    printed = capsys.readouterr().out
    assert printed.count("--again makes it again") == 2 and "accuracy" not in printed
    # A centre file under another view's name is not that view's.
    shutil.copy(score_path(tmp_path / "runs", "one", "val"), score_path(tmp_path / "runs", "one", "val", "10crop"))
    with pytest.raises(UserError, match="holds scores of the view center, not 10crop.*make scores-one VIEW=10crop"):
        load(tmp_path / "runs", "one", "val", "10crop")
    assert scores.main(arguments) is None
    assert load(tmp_path / "runs", "one", "val", "10crop").windows == 10


def test_files_of_before_there_were_views_are_of_the_centre(expected, tmp_path):
    assert scores.main(["one", "--split", "val"]) is None
    path = score_path(tmp_path / "runs", "one", "val")
    with np.load(path) as stored:
        old = {name: stored[name] for name in stored.files if name not in ("view", "windows", "seconds")}
    with path.open("wb") as file:
        np.savez(file, **old)
    found = load(tmp_path / "runs", "one", "val")
    assert (found.view, found.windows) == ("center", 1) and np.isnan(found.seconds)


def test_what_a_net_cannot_take_is_refused(expected, tmp_path):
    for view, said in [("whole", "layer ip of models/one/deploy.prototxt takes images of 6 x 6 alone, not of 13 x 17"),
                       ("9crop", "no such view"), ("dense:99", "a step of 99 pixels is larger")]:  # fmt: skip
        error = scores.main(["one", "--split", "test", "--view", view])
        assert error.startswith(f"ensemble.scoring.scores: --view {view}: ") and said in error and "\n" not in error
    assert not list((tmp_path / "runs").glob("*/scores"))


def sliding(folder: Path) -> dict[str, list[np.ndarray]]:
    """The net above as a third model, "slides"; its weights."""
    random = np.random.RandomState(5)
    weights = {
        "conv": [(0.01 * random.standard_normal((5, 3, 3, 3))).astype(np.float32), np.zeros(5, np.float32)],
        "classes": [(0.2 * random.standard_normal((200, 5, 4, 4))).astype(np.float32), np.zeros(200, np.float32)],
    }
    (folder / "models/slides").mkdir()
    (folder / "models/slides/deploy.prototxt").write_text(SLIDING)
    small.write_snapshot(folder / "runs/slides/slides_iter_7.caffemodel", "slides", weights)
    return weights


def test_a_net_of_convolutions_slides_over_the_whole_image(expected, tmp_path):
    weights = sliding(tmp_path)
    assert scores.main(["slides", "--split", "holdout", "--view", "whole"]) is None
    found = load(tmp_path / "runs", "slides", "holdout", "whole").scores
    pixels, _ = centred("holdout")
    like_ip = {"conv": weights["conv"], "ip": [weights["classes"][0].reshape(200, 80), weights["classes"][1]]}

    def one_place(image: np.ndarray, top: int, left: int) -> np.ndarray:
        conv, (matrix, _) = like_ip["conv"], like_ip["ip"]
        part = image[:, top : top + 6, left : left + 6]
        maps = [max(0, (part[:, y : y + 3, x : x + 3] * conv[0][out]).sum())
                for out in range(5) for y in range(4) for x in range(4)]  # fmt: skip
        return small._softmax(matrix @ np.array(maps))

    for at in (0, 10):
        places = [one_place(pixels[at], top, left) for top in range(8) for left in range(12)]
        np.testing.assert_allclose(found[at], np.mean(places, axis=0), rtol=0, atol=5e-6)
    # The windows equal a dense grid of one pixel without the mirrors. Afterwards the net has its own size again.
    again = load(tmp_path / "runs", "slides", "holdout")
    np.testing.assert_allclose(again.scores[3], one_place(pixels[3], 3, 5), rtol=0, atol=5e-6)


def test_a_net_without_a_crop_says_what_is_left_of_a_view(expected, tmp_path, capsys):
    sliding(tmp_path)
    text = SLIDING.replace("dim: 6 dim: 6", "dim: 13 dim: 17").replace("kernel_size: 4", "kernel_h: 11 kernel_w: 15")
    (tmp_path / "models/slides/deploy.prototxt").write_text(text)
    random = np.random.RandomState(5)
    weights = {"conv": [(0.01 * random.standard_normal((5, 3, 3, 3))).astype(np.float32), np.zeros(5, np.float32)],
               "classes": [(0.02 * random.standard_normal((200, 5, 11, 15))).astype(np.float32),
                           np.zeros(200, np.float32)]}  # fmt: skip
    small.write_snapshot(tmp_path / "runs/slides/slides_iter_7.caffemodel", "slides", weights)
    assert scores.main(["slides", "--split", "val", "--view", "10crop"]) is None
    assert "slides takes whole images, so 10crop is the image and its mirror" in capsys.readouterr().out
    assert load(tmp_path / "runs", "slides", "val", "10crop").windows == 2


def test_an_ensemble_is_of_one_view(expected, tmp_path, capsys):
    for model in small.MODELS:
        assert scores.main([model, "--view", "10crop"]) is None
    assert combine.main([*small.MODELS]) is None and submission.main([]) is not None, "no centre scores on test"
    assert combine.main([*small.MODELS, "--view", "10crop"]) is None
    assert submission.main(["--view", "10crop"]) is None
    center, crops = tmp_path / "runs/ensemble", tmp_path / "runs/ensemble/10crop"
    assert len((crops / "submission.txt").read_text().splitlines()) == 17
    assert not (center / "submission.txt").exists()
    best = json.loads((crops / "best.json").read_text())
    accuracies = {model: load(tmp_path / "runs", model, "val", "10crop").accuracy for model in small.MODELS}
    assert best["view"] == "10crop" and best["weights"] == [accuracies[model] for model in best["models"]]
    assert "means over the view 10crop" in (crops / "ensemble.md").read_text()
    assert "view" not in (center / "ensemble.md").read_text()
    # One choice in place of the other, and one model without that view.
    shutil.copy(center / "best.json", crops / "best.json")
    assert "it is of the view center, not 10crop" in submission.main(["--view", "10crop"])
    assert "make ensemble VIEW=dense:4" in submission.main(["--view", "dense"])
    score_path(tmp_path / "runs", "two", "val", "10crop").unlink()
    error = combine.main([*small.MODELS, "--view", "10crop"])
    assert "no val scores of two" in error and "make scores-two VIEW=10crop" in error
    assert "no such view" in combine.main([*small.MODELS, "--view", "11crop"])
    assert "no such view" in submission.main(["--view", "11crop"])


def test_the_gain_of_views_is_kept(expected, tmp_path, capsys):
    assert scores.main(["one", "--split", "val", "holdout", "--view", "10crop", "dense:7"]) is None
    capsys.readouterr()
    assert view_gain.main(["one", "10crop", "dense:7"]) is None
    kept = json.loads((tmp_path / "runs/views_one.json").read_text())
    assert (
        kept["model"] == "one" and kept["iteration"] == 20 and {"commit", "machine", "command", "time"} <= kept.keys()
    )
    assert [(row["split"], row["view"], row["windows"], row["images"]) for row in kept["rows"]] == [
        (split, view, windows, count) for split, count in (("val", 21), ("holdout", 11))
        for view, windows in (("center", 1), ("10crop", 10), ("dense:7", 12))]  # fmt: skip
    pixels, labels = centred("val")
    hits = {name: [sum(row >= row[label]) == 1 for row, label in zip(prob, labels)]
            for name, prob in (("center", expected["one"]["val"]), ("10crop", slow_mean(pixels, PLACES["10crop"])))}  # fmt: skip
    row = kept["rows"][1]
    assert row["better"] == sum(a and not b for a, b in zip(hits["10crop"], hits["center"]))
    assert row["worse"] == sum(b and not a for a, b in zip(hits["10crop"], hits["center"]))
    assert row["gain"] == pytest.approx((row["better"] - row["worse"]) / 21)
    assert row["gain_interval"][0] < row["gain"] < row["gain_interval"][1] and 0 < row["p"] <= 1
    assert "gain" not in kept["rows"][0] and kept["rows"][0]["seconds"] > 0
    assert "one holdout: dense:7 over center" in capsys.readouterr().out


def test_gains_of_other_snapshots_or_without_scores_are_refused(expected, tmp_path):
    assert "make scores-one" in view_gain.main(["one", "10crop"])
    assert scores.main(["one", "--split", "val", "--view", "10crop"]) is None
    small.write_snapshot(tmp_path / "runs/one/one_iter_40.caffemodel", "one", small.make_weights(3))
    assert scores.main(["one", "--split", "val"]) is None
    error = view_gain.main(["one", "10crop"])
    assert "10crop (iteration 20) are of another snapshot than those of the centre (iteration 40)" in error
    assert scores.main(["one", "--split", "test", "--view", "center"]) is None
    shutil.copy(score_path(tmp_path / "runs", "one", "test"), score_path(tmp_path / "runs", "one", "val"))
    assert "holds scores of test, not val" in view_gain.main(["one", "10crop"])
    found = load(tmp_path / "runs", "one", "test")
    found.split = "val"
    save(score_path(tmp_path / "runs", "one", "val"), found)
    assert "val_lmdb holds other records since" in view_gain.main(["one", "10crop"])
    found = load(tmp_path / "runs", "one", "val", "10crop")
    found.labels[:], found.accuracy, found.view = -1, float("nan"), "center"
    save(score_path(tmp_path / "runs", "one", "val"), found)
    assert "without a label" in view_gain.main(["one", "10crop"])
    assert not (tmp_path / "runs/views_one.json").exists()
