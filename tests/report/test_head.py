"""The page's head names the data behind its numbers, and each accuracy has chance and an interval beside it.

Drawn images are called drawings.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from data_prep import build_lmdb, sample
from harness import intervals
from report import about, chance, full_runs, measure_all, paper, table
from report.experiment import Model, open_experiment
from report.page import page
from report.sections import numbers
from tests.report import small_report

ROOT = Path(__file__).parents[2]
RATES = ((0, 0.01), (400, 0.001))
NET = """name: "{name}"
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
        transform_param {{ mirror: true crop_size: 24 }}
        data_param {{ source: "data/lmdb/train_lmdb" batch_size: 50 backend: LMDB }} }}
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
        data_param {{ source: "data/lmdb/{val}_lmdb" batch_size: {batch} backend: LMDB }} }}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """nin1 and alexnet1 by their logs alone, with 400 val and 200 test images; nothing is scored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("report.figure._inline", lambda *_: "<svg></svg>")
    small_report._data(Path("data/lmdb"))
    for name, level in (("nin1", 0.6), ("alexnet1", 0.4)):
        net(name)
        small_report.write_run(Path("runs", name), name, RATES, level, small_report.END)
    return tmp_path


def net(name: str, val: str = "val", batch: int = 400) -> None:
    """The net of a model: its TEST phase, of one batch in small_report's solvers, averages so many images."""
    path = Path("models", name, "train_val.prototxt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NET.format(name=name, val=val, batch=batch))


def experiment():
    return open_experiment(Path("runs"), Path("data/lmdb"))


def header() -> str:
    text = page(experiment(), progress=lambda sections, **_: sections)
    return " ".join(re.sub("<[^>]+>", " ", text[text.index("<header>") : text.index("</header>")]).split())


def test_it_says_what_was_trained_on_what_and_how_far_that_is_from_the_report(place):
    said = header()
    assert "A trial of the CS231N report" in said
    assert "These runs had 400 training images, not the 100,000 of Tiny ImageNet." in said
    assert "Images, from set.zip: 200 train, 400 val, 300 test, 200 held out of train." in said
    # 1,000 iterations of batch 50 on 200 images are 250 epochs: none of the two was short.
    assert "250 epochs of 200 images (1,000 iterations)" in said and "less than the report's length" not in said
    assert "nin1 crop 24, not 48; batch 50, not 100; other layer settings" in said and "a machine" in said
    assert "The nets of alexnet1, nin1 are not the report" in said and "all 400 val images" in said


def test_a_short_training_on_all_images_has_a_caveat(place, monkeypatch):
    """The demo with the whole real set: no image is missing, but epochs are."""
    monkeypatch.setattr(about, "TRAIN_IMAGES", 400)
    monkeypatch.setattr(about, "VAL_IMAGES", 400)
    for model in ("nin1", "alexnet1"):
        shutil.copy(ROOT / "models" / model / "train_val.prototxt", Path("models", model))  # the report's own nets
    found = experiment()
    monkeypatch.setattr(Model, "epoch", lambda self, iteration: iteration / 200)  # the 1,000 iterations are five
    assert about.caveats(found) == [
        "Trained for less than the report's length: alexnet1 5 epochs of 30, nin1 5 epochs of 100.",
        "So these numbers show the way, and are no reproduction of the report's.",
    ]
    monkeypatch.setattr(Model, "epoch", lambda self, iteration: iteration / 10)
    assert about.caveats(found) == []


def test_without_scores_the_tile_is_the_best_test_of_so_many_images(place):
    value = experiment().models[1].curves.best()[1]
    found = intervals.accuracy(round(400 * value), 400)
    said = header()
    assert f"best single model, nin1 {value:.3f} 95 %: {found.low:.3f} to {found.high:.3f}; of 400 val images" in said
    assert "the best of 50 tests chance: 0.0050; the report: about 0.47 on val" in said
    assert "best ensemble" not in said


def test_tests_on_other_val_images_are_not_mixed(place):
    """nin1 is better on 100 of the 400 images.

    Only alexnet1 was tested on all of them, so it counts as the best.
    """
    net("nin1", batch=100)
    found = experiment()
    assert [found.tested(model) for model in found.models] == [400, 100]
    said = header()
    assert "best single model, alexnet1" in said and "100 of 400 val images" in said
    best = measure_all.measure_all(found)["best-single"]
    assert best.note.startswith("alexnet1") and best.images == 400
    text = page(found, progress=lambda sections, **_: sections)
    assert "tested on different val images, so their values cannot be compared" in " ".join(text.split())
    net("alexnet1", batch=100)
    best = measure_all.measure_all(experiment())["best-single"]
    assert best.note.startswith("nin1") and best.note.endswith("on 100 of the 400 val images") and best.images == 100
    # A test of more images than val has sees no more of them.
    net("alexnet1", batch=900)
    assert experiment().models[0].tested == 400


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("head")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small_report.make(folder)
    return folder


def tiles() -> list[tuple[str, float, str]]:
    text = page(experiment(), progress=lambda sections, **_: sections)
    found = re.findall(r"<dt>(.*?)</dt><dd><strong>(.*?)</strong> <span>(.*?)</span>", text)
    return [(what, float(value), beside) for what, value, beside in found]


def test_both_tiles_are_of_the_same_images(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("report.figure._inline", lambda *_: "<svg></svg>")
    (_, single, first), (_, ensemble, second) = tiles()
    assert "of 200 held-out images, chosen on val" in first and "of 200 held-out images, chosen on val" in second
    held_out = {" + ".join(one.models): one.holdout_accuracy for one in experiment().ensembles.table}
    assert single == round(held_out["nin1"], 3) and ensemble == round(held_out["nin1 + nin2"], 3)
    for path in Path("runs").glob("*/scores/holdout.npz"):
        path.unlink()
    (_, single, first), (_, ensemble, second) = tiles()
    assert "of 400 val images, which chose it" in first and "of 400 val images, which chose it" in second
    assert ensemble >= single, "chosen on these images, the best combination is no worse than one of them"
    # The judge's numbers come from val in halves then.
    found = measure_all.measure_all(experiment())
    accuracy, error = found["single-test-accuracy"], found["single-test-error"]
    assert (
        "nin1: val in halves" in accuracy.note
        and accuracy.images == 400
        and accuracy.models == ("alexnet1", "nin1", "nin2")
    )
    assert float(error.value) == pytest.approx(1 - float(accuracy.value), abs=1e-9)
    text = page(experiment(), progress=lambda sections, **_: sections)
    assert "In place of the judge" in text and "the best combination" in text
    assert "val-test-gap" not in found and "held-out train images: make lmdb HOLDOUT=50" in text


def test_results_are_counted_and_neither_constants_nor_the_judges(whole, monkeypatch):
    monkeypatch.chdir(whole)
    values = numbers.build(experiment())
    counted = {number.name for number in paper.numbers() if number.counts}
    assert values["possible"] == len(counted) == 15 and values["judged"] == 7
    assert not counted & {"momentum", "classes", "models-trained", "drop-factor", "ensemble-members", "leaderboard"}
    assert values["measured"] == len(counted & measure_all.measure_all(experiment()).keys())
    nothing = numbers.build(open_experiment(Path("nowhere"), Path("nowhere")))
    assert nothing["measured"] == 0 < sum(bool(here) for *_, rows in nothing["groups"] for _, here, _ in rows)


def test_readmes_table_says_what_stands_in_for_the_judge():
    rows = {row.split(" | ")[0]: row for row in table.table({}).splitlines()}
    closed = "the judge is closed; in its place val in halves, chosen on one and scored on the other: not yet measured"
    assert (
        closed in rows["| Single models: accuracy on test"]
        and closed in rows["| The three NIN together: accuracy on test"]
    )


@pytest.mark.parametrize(("name", "value", "images", "said"), [
    ("best-single", "0.25", 400, "95 %: 0.210 to 0.295; chance 0.005"),
    ("best-single", "0.25", None, "95 %: 0.242 to 0.259; chance 0.005"),
    ("single-test-error", "0.75, 0.50", 400, "95 %: 0.705 to 0.790, 0.451 to 0.549; chance 0.995"),
    ("momentum", "0.9", 400, ""),
])  # fmt: skip
def test_what_stands_beside_an_accuracy(name, value, images, said):
    """Wilson's intervals, calculated here: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96."""
    number = next(number for number in paper.numbers() if number.name == name)
    assert full_runs.VAL_IMAGES == 10_000 and chance.beside(number, value, "", images) == said


def test_drawings_are_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample.make_sample(Path("sample"), 2, 2, 20, 0)
    assert build_lmdb.main(["--data", "sample", "--out", "data/lmdb"]) == 0
    labels = {"val": [], "test": []}
    from ensemble.scoring.records import Split

    for split in labels:
        with Split(Path(f"data/lmdb/{split}_lmdb")) as records:
            (batch,) = records.batches(1000, (3, 64, 64))
            labels[split] = batch
    monkeypatch.setattr("report.figure._inline", lambda *_: "<svg></svg>")
    small_report.write_run(Path("runs/nin1"), "nin1", RATES, 0.6, small_report.END)
    small_report.write_scores(Path("runs"), "nin1", {"val": labels["val"].labels}, 0.5, 1, {"val": labels["val"].names})
    assert experiment().drawn
    text = page(experiment(), progress=lambda sections, **_: sections)
    assert "The images are drawings made by code: the numbers say nothing about Tiny ImageNet." in text
    assert "Drawings made by code, no photographs, from sample" in text
    shown = re.findall(r'<img [^>]*alt="([^"]+)"', text)
    assert len(shown) > 20 and all(alt.startswith("drawing: ") for alt in shown)
    assert "candle" not in text and "goldfish" not in text
    build = json.loads(Path("data/lmdb/build.json").read_text())
    assert build["source"] == "sample"
    # A real class among them is no drawing.
    path = Path("data/lmdb/labels.txt")
    path.write_text(path.read_text().replace("drawing: red disc", "goldfish", 1))
    assert not experiment().drawn
