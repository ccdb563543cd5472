"""The gap between val and test: the measurements against loops, and the conclusions by the rule."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ensemble.scoring import gap, gap_reasons, records, views
from harness.errors import UserError
from harness.intervals import Interval
from tests.ensemble import small_ensemble as small


@pytest.fixture
def expected(tmp_path, monkeypatch):
    """The small experiment, with the val images as its train set; what `prob` must be at the centre."""
    monkeypatch.chdir(tmp_path)
    found = small.make(tmp_path)
    shutil.copytree(tmp_path / "data/lmdb/val_lmdb", tmp_path / "data/lmdb/train_lmdb")
    return found


def hits(prob: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([sum(row >= row[label]) == 1 for row, label in zip(prob, labels)])


def read(split: str) -> records.Batch:
    with records.Split(Path(f"data/lmdb/{split}_lmdb")) as found:
        return next(found.batches(100, small.SHAPE))


def test_what_is_measured_is_what_loops_give(expected, tmp_path, capsys):
    assert gap.main(["one", "--draws", "2", "--seed", "5", "--batch", "30", "--images", "13"]) is None
    found = json.loads((tmp_path / "runs/gap_one.json").read_text())
    assert list(found["splits"]) == ["train", "val", "holdout", "test"]
    assert [split["images"] for split in found["splits"].values()] == [13, 21, 11, 17]
    mean, weights = records.read_mean(Path("data/lmdb/mean.binaryproto")), small.make_weights(11)
    for name in ("val", "holdout"):
        split, batch = found["splits"][name], read(name)
        right = hits(expected["one"][name], batch.labels)
        assert split["center"][0] == pytest.approx(right.mean())
        assert split["confidence"][0] == pytest.approx(expected["one"][name].max(axis=1).mean(), abs=1e-6)
        random, passes = np.random.RandomState(5), []
        for _ in range(2):
            prob = []
            for image, (top, left, _, _, flip) in zip(
                batch.images, views.at_random(len(batch.names), (13, 17), (6, 6), random)
            ):
                part = (image - mean)[:, top : top + 6, left : left + 6].astype(np.float64)
                prob.append(small._softmax(small._logits(part[:, :, ::-1] if flip else part, weights)))
            passes.append(hits(np.array(prob), batch.labels))
        assert split["random"] == pytest.approx({
            "accuracy": np.mean(passes), "lowest": min(map(np.mean, passes)), "highest": max(map(np.mean, passes))
        })  # fmt: skip
        assert split["random_gain"][0] == pytest.approx(np.mean(passes) - right.mean())
        assert "whole" not in split, "its InnerProduct takes windows of 6 x 6 alone"
    assert "center" not in found["splits"]["test"]
    assert (found["iteration"], found["draws"], found["seed"], found["crop"]) == (20, 2, 5, [6, 6])
    assert found["seconds"] > 0 and {"commit", "machine", "command", "time", "snapshot_sha256"} <= found.keys()
    printed = capsys.readouterr().out
    assert (
        "one holdout: accuracy" in printed and "one test: no labels" in printed and "- Chance: contradicted" in printed
    )


def test_a_sample_is_drawn_by_its_seed(tmp_path):
    image = np.zeros(small.SHAPE, np.uint8)
    small.write_lmdb(tmp_path / "lmdb", [f"image_{i}" for i in range(23)], [small.raw_datum(image, 0)] * 23)

    def names(seed: int | None, limit: int = 9) -> list[str]:
        with records.Split(tmp_path / "lmdb", limit, seed) as split:
            return [name for batch in split.batches(4, small.SHAPE) for name in batch.names]

    order = names(None, 100)
    drawn = names(3)
    assert drawn == names(3) != names(4) and drawn != order[:9] == names(None)
    assert len(set(drawn)) == 9 and [name for name in order if name in drawn] == drawn, "in the order of the records"
    assert names(3, 100) == order


def test_without_held_out_images_it_says_how_to_have_some(expected, tmp_path, capsys):
    shutil.rmtree(tmp_path / "data/lmdb/holdout_lmdb")
    assert gap.main(["one"]) is None
    printed = capsys.readouterr().out
    assert printed.count("make lmdb HOLDOUT=50") == 2 and "not measured" in printed
    assert "holdout" not in json.loads((tmp_path / "runs/gap_one.json").read_text())["splits"]


def test_images_that_the_run_may_have_trained_on_are_refused(expected, tmp_path):
    line = {"time": "2026-03-05T22:15:00+00:00", "event": "start", "iteration": 0, "data": "mean 0123"}
    (tmp_path / "runs/one/journal.jsonl").write_text(json.dumps(line) + "\n")
    assert "was trained on other images than those of data/lmdb" in gap.main(["one"])
    assert not (tmp_path / "runs/gap_one.json").exists()


@pytest.mark.parametrize("arguments, said", [
    (["three"], "make train-three"), (["one", "--draws", "0"], "1 or more"), (["one", "--seed", "-1"], "--seed 0 to"),
    (["one", "--data", "no"], "make lmdb"), (["one", "--snapshot", "no.caffemodel"], "no such snapshot"),
    (["one", "--gpu", "one"], "--gpu one: not a GPU's number"),
])  # fmt: skip
def test_errors_are_one_line(expected, tmp_path, arguments, said):
    error = gap.main(arguments)
    assert error.startswith("ensemble.scoring.gap: ") and said in error and "\n" not in error
    assert not (tmp_path / "runs/gap_one.json").exists()


def test_a_missing_or_unlabelled_split(expected, tmp_path):
    shutil.rmtree(tmp_path / "data/lmdb/train_lmdb")
    assert "train_lmdb: no LMDB; `make lmdb`" in gap.main(["one"])
    shutil.copytree(tmp_path / "data/lmdb/test_lmdb", tmp_path / "data/lmdb/train_lmdb")
    assert "a label not in 0 to 199" in gap.main(["one"])
    assert not (tmp_path / "runs/gap_one.json").exists()


def test_a_diverged_snapshot_is_refused(expected, tmp_path):
    weights = small.make_weights(11)
    weights["ip"][1][:] = np.nan
    small.write_snapshot(tmp_path / "runs/one/one_iter_20.caffemodel", "one", weights)
    assert "did the training diverge?" in gap.main(["one"])


def made_up(random_gain=(-0.01, -0.015, -0.005), val=0.45, holdout=0.47, test=0.5) -> dict:
    """A file of `ensemble.scoring.gap` with these numbers: 0.005 about every accuracy, 0.3 between confidences."""

    def split(accuracy: float) -> dict:
        around = (accuracy, accuracy - 0.005, accuracy + 0.005)
        return {"images": 10_000, "confidence": (0.5, 0.494, 0.506), "confidence_std": 0.3, "center": around,
                "random": {"accuracy": 0.44, "lowest": 0.439, "highest": 0.441}, "random_gain": random_gain}  # fmt: skip

    splits = {"train": split(0.6), "val": split(val), "holdout": split(holdout)}
    splits["test"] = {"images": 10_000, "confidence": (test, test - 0.006, test + 0.006), "confidence_std": 0.3}
    return {"model": "nin1", "iteration": 100, "draws": 3, "splits": splits}


def verdicts(found: dict) -> dict[str, gap_reasons.Reason]:
    names = ("chance", "forward", "choice", "held", "memory", "another")
    return dict(zip(names, gap_reasons.reasons(found)))


def test_the_rule():
    assert [gap_reasons.verdict(Interval(0.0, *ends)) for ends in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.0, 0.2))] == [
        "supported", "contradicted", "not shown", "not shown"]  # fmt: skip


def test_what_is_concluded():
    found = verdicts(made_up())
    assert {name: reason.verdict for name, reason in found.items()} == {
        "chance": "contradicted", "forward": "contradicted", "choice": "a part at most", "held": "contradicted",
        "memory": "beside the point", "another": "not shown"}  # fmt: skip
    assert "No explanation is supported beyond noise" in gap_reasons.conclusion([*found.values()])
    assert "0.6 points too good" in found["choice"].text and "1.4" in found["choice"].text
    assert "+4.0 points (95 %: +2.6 to +5.4)" in found["chance"].text
    other = verdicts(made_up(random_gain=(0.02, 0.015, 0.025), holdout=0.43, test=0.47))
    assert [other[name].verdict for name in ("forward", "held", "another")] == ["supported"] * 3
    assert other["held"].cost == pytest.approx((0.02, 0.02 - 0.00707, 0.02 + 0.00707), abs=1e-5)
    assert other["another"].less_sure == pytest.approx((0.03, 0.03 - 0.0083, 0.03 + 0.0083), abs=1e-4)
    said = gap_reasons.conclusion([*other.values()])
    assert said.startswith("Supported: random crops") and said.count("(2.0 of the report's 4 points)") == 2
    noisy = verdicts(made_up(random_gain=(0.001, -0.004, 0.006), holdout=0.449))
    assert [noisy[name].verdict for name in ("forward", "held", "another")] == ["not shown"] * 3


def test_confidence_is_not_counted_as_accuracy():
    found = verdicts(made_up(test=0.47))["another"]
    assert (found.verdict, found.cost) == ("supported", None)
    assert "is +3.0 points (95 %: +2.2 to +3.8), of confidence and not of accuracy. It is less sure" in found.text
    assert gap_reasons.conclusion([found]) == (
        "Supported: the test images are harder than val's (the net is 3.0 points less sure of them; "
        "only labels tell what that costs)."
    )


def test_passes_are_counted():
    assert "3 passes lie in 0.4390 to 0.4410. " in verdicts(made_up())["forward"].text
    assert "; one pass has 0.4390. " in verdicts({**made_up(), "draws": 1})["forward"].text


def test_without_held_out_images_nothing_is_concluded_of_val():
    found = made_up()
    del found["splits"]["holdout"]
    assert verdicts(found)["held"].verdict == "not measured"


@pytest.mark.parametrize(
    "broken", [{}, {"splits": {}}, {**made_up(), "splits": {"val": 3}}, {**made_up(), "draws": None, "splits": []}]
)
def test_a_broken_file_says_what_to_do(broken):
    with pytest.raises(UserError, match="run it again"):
        gap_reasons.reasons(broken)
