"""The steps before the five trainings, on the page and among the numbers: K-means and the explored rates."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from first_pass import kmeans, outcome
from harness import provenance
from report import measure_all, save_results
from report.experiment import open_experiment
from report.page import page
from tests.report import small_report

FILES = (Path("runs/kmeans.json"), Path("runs/explore/explore.json"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("report.figure._inline", lambda *_: "<svg></svg>")
    data = Path("data/lmdb")
    data.mkdir(parents=True)
    (data / "mean.binaryproto").write_bytes(b"the mean")
    return provenance.digest_of_mean(data / "mean.binaryproto")


def experiment():
    return open_experiment(Path("runs"), Path("data/lmdb"))


def section() -> str:
    text = page(experiment(), progress=lambda sections, **_: sections).partition('<section id="first_pass"')[2]
    return " ".join(text.partition("</section>")[0].split())


def put(data: str) -> None:
    kmeans.write(FILES[0], small_report.kmeans_rows(data))
    outcome.write(FILES[1], small_report.exploration(data))


def test_the_reports_numbers(place):
    put(place)
    found = measure_all.measure_all(experiment())
    # K-means: of 200 clusters the first seed's, not the best one's.
    error = found["kmeans-error"]
    assert error.value == "0.963" and error.note.endswith("0.959 to 0.967; 2 seeds 0.961 to 0.963")
    assert save_results.keep(error, experiment()) == save_results.SavedNumber(
        "0.963", error.note, "make kmeans", "abc", "a machine", place, [0], 0.022, "2026"
    )
    # For AlexNet, only 0.001 is left of the rates at which it still learns; NIN's rates do not count.
    rate = found["alexnet-best-rate"]
    assert rate.value == "0.001"
    assert rate.note == (
        "alexnet1 after 4 epochs: accuracy on val 0.150 [0.118, 0.188]; at 0.1: 0.005 [0.001, 0.018], "
        "0.01: 0.250 [0.210, 0.295]; chance 0.005"
    )
    assert save_results.keep(rate, experiment()).hours == 0.075 and rate.made.seeds == (6,)


def test_one_rate_or_another_dropout_is_no_best_rate(place):
    whole = small_report.exploration(place)
    one = [each for each in whole.outcomes if each.rate == 0.01]
    other = [replace(each, dropout=0.3) for each in whole.outcomes if each.rate != 0.01]
    outcome.write(FILES[1], replace(whole, outcomes=[*one, *other]))
    assert "alexnet-best-rate" not in measure_all.measure_all(experiment())


def test_the_section(place):
    put(place)
    said = section()
    assert "by lot has 0.995" in said and "0.9593 to 0.9667" in said and said.count("<figure>") == 2
    assert (
        "<strong>nin1 at 0.01</strong>" in said and "alexnet1 at 0.01 has 0.2500, but its loss no longer falls" in said
    )
    assert "Of 200 train images" in said and "a part of Tiny ImageNet" in said and "results/" not in said
    assert said.count("<tr>") == 1 + 3 + 1 + 5


@pytest.mark.parametrize("gone", FILES)
def test_one_of_the_two_is_missing(place, gone):
    put(place)
    gone.unlink()
    said = section()
    assert ("make kmeans" in said) == (gone is FILES[0])
    assert ("explored yet: make explore" in said) == (gone is FILES[1])


def test_without_both_it_says_what_makes_them(place):
    assert "Nothing yet: make kmeans; make explore EPOCHS=3" in section()


def test_what_is_of_other_images_or_broken_is_no_number(place):
    put("mean of others")
    here = experiment()
    assert not measure_all.measure_all(here).keys() & {"kmeans-error", "alexnet-best-rate"} and not here.problems
    for file, said in zip(FILES, ("make kmeans", "make explore")):
        file.write_text("[]")
        here = experiment()
        measure_all.measure_all(here)
        assert any(said in problem and str(file) in problem for problem in here.problems)


def test_both_are_kept_of_a_whole_set_alone(place, monkeypatch):
    put(place)
    records = {"train": 100_000, "val": 10_000, "test": 10_000}
    build = {"source": "x.zip", "seed": 0, "records": records, "lists_sha256": {}}
    Path("data/lmdb/build.json").write_text(json.dumps(build))
    assert save_results.main([]) is None
    numbers = json.loads(Path("results/measured.json").read_text())
    assert numbers["kmeans-error"]["seeds"] == [0] and numbers["alexnet-best-rate"]["value"] == "0.001"
    assert kmeans.read(Path("results/kmeans.json")) == kmeans.read(FILES[0])
    assert outcome.load(Path("results/explore.json")) == outcome.load(FILES[1])
    # If the runs have no files, the page shows the kept ones and names them.
    for file in FILES:
        file.unlink()
    assert section().count("results/") == 2
    Path("data/lmdb/build.json").write_text(json.dumps({**build, "records": {**records, "train": 8000}}))
    put(place)
    Path("results/explore.json").unlink()
    assert "8000 train images, not the 100000" in save_results.main([]) and not Path("results/explore.json").exists()
