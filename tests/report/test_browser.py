"""The page in a real browser: it renders whole, on a desk and on a phone, light and dark."""

import pytest

from report.__main__ import main
from tests.report import chromium, small_report

if not chromium.installed():
    pytest.skip("no Chromium here (Debian: apt install chromium)", allow_module_level=True)

DESK, PHONE = 1280, 390

# Every text that shows, with its contrast to what is behind it, as WCAG 2.1 computes it: the worst first.
CONTRASTS = """(() => {
  const rgba = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const pair = [light(rgba(node.closest('svg') ? style.fill : style.color)), light(behind(node))];
    found.push([(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), walker.currentNode.data.trim()]);
  }
  return found.sort((a, b) => a[0] - b[0]);
})()"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small_report.make(folder)
        assert main([]) is None
    return folder / "runs/report.html"


@pytest.fixture(scope="module")
def tab():
    with chromium.page() as page:
        yield page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE, 320])
def test_the_page_renders(file, tab, width, dark):
    tab.open(file, width, dark=dark)
    assert tab.said == []
    assert tab.requests == [file.resolve().as_uri()], "it asks for nothing but itself"
    images = tab.evaluate("[...document.images].map(one => [one.complete, one.naturalWidth, one.width])")
    assert len(images) > 40 and all(complete and natural == 16 and shown for complete, natural, shown in images)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "wider than the window"
    figures = tab.evaluate("[...document.querySelectorAll('figure svg')].map(one => one.getBoundingClientRect().width)")
    assert len(figures) == 19 and min(figures) > 250

    contrasts = tab.evaluate(CONTRASTS)
    assert len(contrasts) > 800 and contrasts[0][0] >= 4.5, contrasts[:5]
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 100) == dark


def test_text_of_a_figure_is_read_on_a_phone(file, tab):
    tab.open(file, PHONE)
    sizes = tab.evaluate("""[...document.querySelectorAll('svg text')].map(one =>
        parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a / Math.cos(Math.atan2(one.getScreenCTM().b,
        one.getScreenCTM().a)))""")  # fmt: skip
    upright = [size for size in sizes if size < 100]  # a turned text's scale is not in a alone
    assert len(upright) > 50 and min(size for size in upright if size > 1) > 7


def test_the_contents_lead_to_the_sections(file, tab):
    tab.open(file, DESK)
    assert tab.evaluate("document.documentElement.lang") == "en"
    assert "Tiny ImageNet" in tab.evaluate("document.title")
    levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(one => +one.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    # Each entry of the contents leads to its section.
    count = tab.evaluate("document.querySelectorAll('nav a').length")
    assert count == tab.evaluate("document.querySelectorAll('main section').length") == 13
    for number in range(count):
        top = tab.evaluate(f"""(() => {{ const link = document.querySelectorAll('nav a')[{number}]; link.click();
            return document.getElementById(link.hash.slice(1)).getBoundingClientRect().top; }})()""")
        bottom = tab.evaluate("document.documentElement.scrollHeight - scrollY - innerHeight")
        assert abs(top) < 40 or bottom < 40, "neither at the top of the window nor at the end of the page"


def test_nothing_of_a_hostile_name_runs(file, tab):
    tab.open(file, DESK)
    assert tab.evaluate("document.scripts.length") == 0 and tab.said == []
    assert "<script>" in tab.evaluate("document.body.innerText + [...document.images].map(one => one.alt)")
