"""Trainings side by side: their kept numbers, and the rule's verdicts."""

import json
import math
import re
from pathlib import Path

import pytest
from markupsafe import Markup

from report import compared, figure
from report.__main__ import main as make_report
from report.trainings import Training
from tests.report import small_report
from training import curves

TITLE = "One <beside> the other"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small_report.make(folder)
        assert compared.main(["pair", "alexnet1", "nin1", "--title", TITLE, "--note", "A note."]) is None
    return folder


@pytest.fixture
def place(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def wilson(share: float, n: int) -> tuple[float, float]:
    """The roots of (p - share)^2 = z^2 p (1 - p) / n."""
    z2 = 1.959964**2
    a, b, c = n + z2, -(2 * n * share + z2), n * share**2
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_what_is_kept(place):
    found = compared.read(Path("runs/compared_pair.json"))
    assert (found.name, found.title, found.note) == ("pair", TITLE, "A note.")
    assert found.train_images == small_report.TRAIN and found.val_images == small_report.COUNTS["val"]
    first, second = found.runs
    assert (first.name, second.name, second.seed, second.policy) == ("alexnet1", "nin1", 3, "fixed")
    log = curves.read(Path("runs/nin1"))
    assert second.accuracy == [(at / 20, value) for at, value in log.series("accuracy")]
    assert [(at, after) for at, _, after in second.drops] == [(20, pytest.approx(1e-3)), (35, pytest.approx(1e-4))]
    assert second.epochs == log.iteration / 20 and second.commit == "0123456789"
    assert second.command == "make train-nin1 resume-nin1" and "/" not in json.dumps(second.command)
    # An epoch's mean is of the 20 iterations that end with it.
    own = [point for point in log.displayed if 20 < point.iteration <= 40]
    expected = sum(point.loss for point in own) / len(own)
    assert dict(second.loss)[2.0] == pytest.approx(expected, abs=1e-4)


def test_the_difference_is_newcombes(place):
    found = compared.read(Path("runs/compared_pair.json"))
    alexnet, nin = found.runs
    at = found.common_epochs()[-1]
    # A log rounds; images are whole.
    p, q = (round(dict(run.accuracy)[at] * 400) / 400 for run in (nin, alexnet))
    (pl, ph), (ql, qh) = (wilson(share, 400) for share in (p, q))
    value, low, high = found.difference(nin, alexnet, at)
    assert value == pytest.approx(p - q, abs=1e-9)
    assert low == pytest.approx(p - q - math.hypot(p - pl, qh - q), abs=1e-6)
    assert high == pytest.approx(p - q + math.hypot(ph - p, q - ql), abs=1e-6)


def made_up(first: list[float], second: list[float], images: int = 10_000) -> compared.Compared:
    def run(name, values):
        accuracy = [(float(epoch), value) for epoch, value in enumerate(values)]
        return Training(name, "fixed", 1, 10, 1.0, 0.1, accuracy, [], [], "", None, None, None)

    return compared.Compared("x", "X", "", 100, images, "now", [run("a", first), run("b", second)])


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        # With 10,000 images, two standard errors of a difference near 0.3 are 1.3 points.
        ([0.005, 0.3], [0.005, 0.32], r"After 1 epoch b is ahead of a: \+2.00 points \(95 %: \+0.7\d to \+3.2\d\)\."),
        ([0.005, 0.3], [0.005, 0.28], r"b is behind a: −2.00 points"),
        ([0.005, 0.3], [0.005, 0.305], r"b is not to be told from a: \+0.50 points \(95 %: −0.\d\d to \+1.\d\d\)\.$"),
        (
            [0.005, 0.2, 0.3],
            [0.005, 0.3, 0.3],
            r"not to be told .* Of 2 common tests it is ahead in 1 and behind in 0\.",
        ),
        ([0.005], [0.005, 0.3], r"^They were not tested at one same epoch yet\.$"),
    ],
)
def test_the_rule(first, second, said):
    (sentence,) = compared.verdict(made_up(first, second))
    assert re.search(said, sentence), sentence


def test_on_the_page(place, monkeypatch):
    monkeypatch.setattr(figure, "_inline", lambda *_: Markup("<svg></svg>"))
    assert make_report([]) is None
    text = Path("runs/report.html").read_text(encoding="utf-8")
    section = re.search(r'<section id="compared".*?</section>', text, re.S)[0]
    assert "One &lt;beside&gt; the other" in section and "A note." in section
    assert section.count("<figure>") == 2 and "nin1 less alexnet1" in section
    assert re.search(r"After \d+ epochs nin1 is (ahead of|behind|not to be told from) alexnet1", section)


def test_a_broken_file_is_reported(place, monkeypatch, tmp_path):
    monkeypatch.setattr(figure, "_inline", lambda *_: Markup("<svg></svg>"))
    path = Path("runs/compared_pair.json")
    whole = path.read_text()
    for broken in ("{", "[]", '{"runs": []}', json.dumps({**json.loads(whole), "runs": [{"name": "a"}] * 2})):
        path.write_text(broken)
        assert make_report([]) is None
        assert "compared_pair.json: not what report.compared writes" in Path("runs/report.html").read_text()
    path.write_text(whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pair", "nin1"], "name two runs or more, each once"),
        (["pair", "nin1", "nin1"], "name two runs or more, each once"),
        (["../pair", "nin1", "nin2"], "'../pair': a name of letters, digits and _ is wanted"),
        (["other", "nin1", "nin9"], "runs/nin9: no run; those here: alexnet1, nin1, nin2"),
    ],
)
def test_what_cannot_be_compared(place, arguments, message):
    assert compared.main([*arguments, "--title", "x"]) == f"report.compared: {message}"
    assert not Path("runs/compared_other.json").exists()
