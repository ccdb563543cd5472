"""The page: whole, escaped, the same from the same inputs, and clear about what is missing."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup

from report import figure
from report.__main__ import main
from tests.report import small_report

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Ids, links and images of a page; fails on tags that are not closed in their order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.tags = [], [], [], [], set()
        self.text = text
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "img":
            self.images.append((found["src"], found["alt"]))
        self.links += [value for name, value in attrs if name in ("href", "src", "action")]

    def handle_startendtag(self, tag, attrs):
        if "id" in dict(attrs):
            self.ids.append(dict(attrs)["id"])
        self.links += [value for name, value in attrs if name == "href"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}>"

    def section(self, name: str) -> str:
        return re.search(rf'<section id="{name}".*?</section>', self.text, re.S)[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small_report.make(folder)
        assert main([]) is None
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy of the small experiment, to take things away from."""
    shutil.copytree(made, tmp_path / "here", ignore=shutil.ignore_patterns("report.html"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def quick(place, monkeypatch):
    """As `place`, and the plots are not drawn, which takes most of the time."""
    monkeypatch.setattr(figure, "_inline", lambda *_: Markup("<svg></svg>"))


def page() -> Page:
    assert main([]) is None
    return Page(Path("runs/report.html").read_text(encoding="utf-8"))


def test_the_whole_page(made):
    text = (made / "runs/report.html").read_text(encoding="utf-8")
    found = Page(text)
    assert 100_000 < len(text) < 5_000_000
    assert len(set(found.ids)) == len(found.ids)
    inside = {link[1:] for link in found.links if link.startswith("#")}
    assert inside and inside <= set(found.ids)
    # Nothing of another address, and nothing that could run.
    assert all(link.startswith(("#", "data:")) for link in found.links)
    assert "script" not in found.tags and "http://" not in text.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )
    assert "default-src 'none'" in text
    assert len(found.images) > 40 and all(alt for _, alt in found.images)
    assert "missing" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S).replace(
        'class="missing">Not trained', ""
    )
    # Curves with both drops of nin1, and what made them.
    assert text.count("rate 0.0001</text>") == 4 and "0.001 to 0.0001" in found.section("training")
    assert "make train-nin3" in found.section("training")
    assert found.section("ensembles").count("<tr>") == 1 + 2 + 1 + 7
    methods = found.section("methods")
    assert methods.count("<tr>") == 2 * (1 + 1 + 7) and "transductive" in methods.lower() and "beyond noise" in methods
    assert found.section("classes").count("thing 199") >= 1
    numbers = found.section("numbers")
    assert numbers.count(">not measured<") == 3 and numbers.count("the judge is closed") == 7
    assert "0123456789" in found.section("provenance") and "a machine" in found.section("provenance")


def test_hostile_names_stay_text(made):
    text = (made / "runs/report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;alert(&#34;x&#34;)" in text


def test_views_and_the_gap_are_described_in_words(made):
    found = Page((made / "runs/report.html").read_text(encoding="utf-8"))
    crops, gap = found.section("views"), found.section("gap")
    assert "10crop helps: +2.0 points on val; center+mirror: +0.2 points on val, not beyond noise" in crops
    assert "dense:4 harms: \N{MINUS SIGN}2.0 points on val" in crops and "+0.0100 to +0.0300" in crops
    assert "Supported: the test images are harder than val&#39;s (the net is 3.0 points less sure of them; " in gap
    assert gap.count("contradicted</td>") == 3 and gap.count("<tr>") == 1 + 6 + 1 + 4


ABOUT = '"model": "a", "iteration": 1, "command": "", "commit": "", "machine": "", "time": "", "draws": 3'


@pytest.mark.parametrize("kind", ["views", "gap"])
@pytest.mark.parametrize("text", ["[]", "{", '{"model": "nin1"}', f'{{"rows": [1], "splits": [], {ABOUT}}}',
                                  f'{{"rows": [], "splits": [], "seed": 0, "seconds": 1, {ABOUT}}}'])  # fmt: skip
def test_results_that_are_broken_or_missing(quick, kind, text):
    Path(f"runs/{kind}_nin1.json").write_text(text)
    found = page().section(kind)
    assert 'class="missing"' in found and ("not what" in found)
    Path(f"runs/{kind}_nin1.json").unlink()
    assert f"make {kind}-nin1" in page().section(kind)


def test_every_figure_says_what_it_shows(made):
    text = (made / "runs/report.html").read_text(encoding="utf-8")
    figures = re.findall(r"<figure>.*?</figure>", text, re.S)
    assert len(figures) == 2 + 1 + 2 * 3 + 1 + 1 + 2 + 2 + 2 + 2
    for one in figures:
        assert re.search(r'<svg viewBox="[\d. -]+" role="img" aria-label="[^"]{20,}">', one)
        assert re.search(r"<figcaption>\s*\w", one)
        # Colours are the page's, but those of the confusion's pixels.
        assert not re.search(r"(?:fill|stroke): #(?!0000)", one)


def test_the_same_inputs_make_the_same_page(place):
    first = page().text
    done = subprocess.run([sys.executable, "-m", "report", "--out", "again.html"], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")  # no bar where no terminal is
    assert done.stdout.startswith("-> again.html, ")
    assert Path("again.html").read_text(encoding="utf-8") == first


@pytest.mark.parametrize(
    "gone, section, said",
    [
        ("runs/ensemble/submission.txt", "submission", "make submission"),
        ("runs/ensemble", "ensembles", "make ensemble"),
        ("runs/ensemble/methods.json", "methods", "make methods"),
        ("runs/*/train_accuracy.csv", "training", "make train-accuracy-nin1"),
        ("data/lmdb/val_lmdb", "examples", "`make lmdb`"),
        ("data/lmdb/val_lmdb", "classes", "`make lmdb`"),
        ("data/lmdb", "provenance", "make lmdb"),
        ("data/lmdb/labels.txt", "submission", "`make lmdb`"),
        ("models", "nets", "make models"),
        ("runs/*/scores/test.npz", "submission", "make ensemble"),
        ("runs/*/journal.jsonl", "provenance", "has no journal"),
    ],
)
def test_what_is_missing_names_its_command(quick, gone, section, said):
    paths = list(Path().glob(gone))
    assert paths
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert said in page().section(section)


def test_nothing_trained_yet(quick, capsys):
    shutil.rmtree("runs")
    found = page()
    assert "make train-alexnet1" in found.section("training")
    assert "make scores-nin1" in found.section("classes")
    assert "0.982" in found.section("numbers"), "the report's numbers stand there all the same"


def test_nothing_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = main([])
    assert said.startswith("report: ") and "nothing to report" in said and "\n" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path, content, said",
    [
        ("runs/nin1/scores/val.npz", b"no scores", "not a whole score file"),
        ("runs/ensemble/best.json", b"{}", "make ensemble"),
        ("runs/ensemble/combinations.csv", b"a,b\n1,2\n", "make ensemble"),
        ("runs/ensemble/methods.json", b'{"models": []}', "make methods"),
        ("data/lmdb/build.json", b"[]", "make lmdb"),
        ("data/lmdb/build.json", b'{"records": {"train": 1, "val": 1, "test": 1}}', "make lmdb"),
        ("runs/nin1/train_accuracy.csv", b"a,b\n1,2\n", "train_accuracy"),
        ("solvers/nin1.prototxt", b"base_lr: x", "solvers/nin1.prototxt"),
        ("runs/nin1/journal.jsonl", b'{"event": "start", "time": "2026-03-05"}\n[]\n', "journal.jsonl"),
        ("runs/nin1/journal.jsonl", b'{"event": "start", "time": "now"}\n', "not to be read"),
        ("runs/nin1/train.log", b"\xff\x00garbage\n" * 9, ""),
    ],
)
def test_broken_files_are_reported_and_the_rest_is_shown(quick, path, content, said, capsys):
    Path(path).write_bytes(content)
    found = page()
    assert said in capsys.readouterr().err
    assert "alexnet1" in found.section("training")
    assert said in found.text.replace("&#39;", "'")


def test_a_list_of_other_classes(quick):
    Path("data/lmdb/labels.txt").write_text("n00000001 one\n")
    assert "1 classes, not 200" in page().section("classes")


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_one_clear_line(place, package):
    program = f"import sys; sys.modules[{package!r}] = None; from report.__main__ import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"report: {package} is missing") and "make setup" in done.stderr
    assert not Path("runs/report.html").exists()


def test_a_dollar_in_a_name_is_a_dollar():
    with figure.plot("a", "a plot") as drawing:
        drawing.axes.set_title("n$_1$ <b>")
    assert ">n$_1$ &lt;b&gt;</text>" in drawing.svg
