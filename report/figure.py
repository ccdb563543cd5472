"""Matplotlib figures as inline SVG in the page's colours, so that one drawing serves light and dark."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from report.chance import CHANCE
from report.palette import LIGHT, SERIES

WIDTH, HEIGHT = 4.8, 2.9  # inches; text of 9.5 points stays readable when a phone shows the figure at 3/4
STYLE = {
    "svg.fonttype": "none",  # keeps text as text, in the page's font
    "svg.hashsalt": "report",  # the same ids in every run
    "text.parse_math": False,  # a $ in a model's name stays a $
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # a font that comes with matplotlib
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.prop_cycle": matplotlib.cycler(color=[LIGHT[name] for name in SERIES]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.linewidth": 0.8,
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.constrained_layout.use": True,
}
_NOTHING = {"Creator": None, "Date": None, "Format": None, "Type": None}


class Plot:
    """A figure with one pair of axes, `axes`; after the `with` block `svg` holds the drawing for the page."""

    def __init__(self, width: float, height: float):
        self.figure = Figure(figsize=(width, height))
        FigureCanvasSVG(self.figure)
        self.axes: Axes = self.figure.add_subplot()
        self.svg = Markup()


def mark_chance(axes: Axes) -> None:
    """Draw a dotted line at the accuracy of a random guess."""
    axes.axhline(CHANCE, color=LIGHT["muted"], linewidth=1, linestyle=":", label="chance")


@contextmanager
def plot(name: str, alt: str, width: float = WIDTH, height: float = HEIGHT) -> Iterator[Plot]:
    """Draw in the page's style. `name` is unique in the page; `alt` describes the figure."""
    with matplotlib.rc_context(STYLE):
        drawing = Plot(width, height)
        yield drawing
        drawing.svg = _inline(drawing.figure, name, alt)


def _inline(figure: Figure, name: str, alt: str) -> Markup:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=_NOTHING)
    text = file.getvalue()
    root, text = re.search(r"<svg [^>]*>(.*)</svg>", text, re.S).group(0, 1)
    box = re.search(r'viewBox="([\d. -]+)"', root)[1]
    text = re.sub(r" *<metadata>.*?</metadata>\n", "", text, flags=re.S)
    # Ids are unique only within a figure; two figures of a page would both have axes_1.
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", text).replace("xlink:href", "href")
    text = re.sub(r" font-family: [^;\"]+;", "", text)
    text = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", text)
    for colour, value in LIGHT.items():
        text = text.replace(value, f"var(--{colour})")
    return Markup(f'<svg viewBox="{box}" role="img" aria-label="{escape(alt)}">{_lean(text)}</svg>')


def _lean(text: str) -> str:
    """The drawing without comments, line ends and digits beyond 1/100 of a point, which no browser needs."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)

    def shorter(data: re.Match) -> str:
        return data[1] + re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", data[2]) + '"'

    text = re.sub(r'( (?:d|x|y|x1|x2|y1|y2|points)=")([^"]*)"', shorter, text)
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def standalone(svg: Markup) -> str:
    """A drawing of the page as an SVG file of its own: in the light colours, on paper."""
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', svg)
    text = re.sub(r"var\(--(\w+)\)", lambda found: LIGHT[found[1]], svg)
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{box[1]}pt" height="{box[2]}pt" font-family="sans-serif"'
        f' fill="{LIGHT["ink"]}"'
    )
    paper = f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>\n'
    head, body = text.split(">", 1)
    return head.replace("<svg", root, 1) + ">" + paper + body + "\n"
