"""The gain of views over the centre, by their cost."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.ticker import NullFormatter, NullLocator

from report.figure import plot
from report.palette import LIGHT, SERIES

_MARKERS = "osD^v"


def gains(files: Sequence[dict], name: str) -> Markup:
    """Points gained on val over the centre, by the number of windows, with 95 % intervals; one colour per model."""
    told = "; ".join(
        f"{one['model']} {row['view']} {100 * row['gain']:+.1f}"
        for one in files for row in _on_val(one)
    )  # fmt: skip
    with plot(name, f"Points of accuracy on val gained over the centre, by windows of an image: {told}") as drawing:
        axes, ticks = drawing.axes, set()
        for number, one in enumerate(files):
            rows = sorted(_on_val(one), key=lambda row: row["windows"])
            low = [100 * (row["gain"] - row["gain_interval"][0]) for row in rows]
            high = [100 * (row["gain_interval"][1] - row["gain"]) for row in rows]
            axes.errorbar([row["windows"] for row in rows], [100 * row["gain"] for row in rows], [low, high],
                          marker=_MARKERS[number % len(_MARKERS)], color=LIGHT[SERIES[number % len(SERIES)]], capsize=3,
                          linestyle="none", label=one["model"])  # fmt: skip
            for row in rows:
                axes.annotate(row["view"], (row["windows"], 100 * row["gain"]), xytext=(6, -3), fontsize=9,
                              textcoords="offset points")  # fmt: skip
            ticks |= {row["windows"] for row in rows}
        axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks(sorted(ticks), [str(tick) for tick in sorted(ticks)])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        if ticks:
            axes.set_xlim(min(ticks) / 1.3, max(ticks) * 2)
        if len(files) > 1:
            axes.legend(loc="upper left")
        axes.set(xlabel="windows of an image", ylabel="points over the centre")
    return drawing.svg


def _on_val(found: dict) -> list[dict]:
    return [row for row in found["rows"] if row["split"] == "val" and "gain" in row]
