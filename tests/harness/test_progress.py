"""Progress bars: drawn by tqdm on a terminal, and nothing without either."""

import importlib
import io
import sys

import pytest

from harness import progress


@pytest.fixture(params=["with tqdm", "without"])
def bar(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    else:
        pytest.importorskip("tqdm")
    yield importlib.reload(progress).bar
    monkeypatch.undo()
    importlib.reload(progress)


def test_what_is_iterated_over_stays_as_it_is(bar, capsys):
    assert list(bar([3, 1, 2], desc="x", unit="image", total=3)) == [3, 1, 2]
    with bar(total=7, unit="B") as shown:
        shown.update(4)
        shown.update()
    assert capsys.readouterr() == ("", ""), "no bar where the output is no terminal"


def test_on_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")
    screen = io.StringIO()
    screen.isatty = lambda: True
    assert list(progress.bar([1, 2], desc="images", file=screen)) == [1, 2]
    assert "images: 100%" in screen.getvalue() and "2/2" in screen.getvalue()
