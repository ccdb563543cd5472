"""The curves of an exploration: a colour for each rate, a dash for each model."""

from collections.abc import Callable

from markupsafe import Markup
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from first_pass.outcome import Exploration, Outcome
from report.figure import mark_chance, plot
from report.palette import LIGHT, SERIES

_DASHES = ("-", "--", "-.", ":")
_MARKERS = "osD^v"
_DIVERGED = 20.0  # a train loss too high to show; chance has 5.3


def losses(found: Exploration, name: str) -> Markup:
    """The displayed train losses."""

    def shown(one: Outcome) -> list[list[float]]:
        return [point for point in one.losses if point[1] < _DIVERGED]

    return _plot(found, name, "Train loss", "train loss", shown, "")


def accuracies(found: Exploration, name: str) -> Markup:
    """The accuracy on val at every test."""
    return _plot(found, name, "Accuracy on val", "accuracy on val", lambda one: one.accuracies, "marked")


def _plot(found: Exploration, name: str, what: str, label: str, points: Callable, marked: str) -> Markup:
    models = list(dict.fromkeys(one.model for one in found.outcomes))
    kinds = list(dict.fromkeys((one.rate, one.dropout) for one in found.outcomes))
    ends = ", ".join(f"{one} {points(one)[-1][1]:.4g}" for one in found.outcomes if points(one))
    with plot(name, f"{what} of each model at each rate by epoch. At the end: {ends}", height=3.4) as drawing:
        axes = drawing.axes
        for one in found.outcomes:
            which, at = models.index(one.model), kinds.index((one.rate, one.dropout))
            if points(one):
                axes.plot(*zip(*points(one)), _DASHES[which % len(_DASHES)], color=_colour(at),
                          marker=_MARKERS[which % len(_MARKERS)] if marked else "")  # fmt: skip
        handles = [Line2D([], [], color=_colour(at), label=_told(*kind)) for at, kind in enumerate(kinds)]
        handles += [Line2D([], [], color=LIGHT["muted"], linestyle=_DASHES[which % len(_DASHES)], label=model,
                           marker=_MARKERS[which % len(_MARKERS)] if marked else "")
                    for which, model in enumerate(models)]  # fmt: skip
        if marked:
            mark_chance(axes)
            handles.append(axes.get_lines()[-1])
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, borderaxespad=0.2)
        axes.set(xlabel="epoch", ylabel=label)
        axes.set_xlim(left=0)
        if marked:
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    return drawing.svg


def _colour(at: int) -> str:
    return LIGHT[SERIES[at % len(SERIES)]]


def _told(rate: float, dropout: float | None) -> str:
    return f"rate {rate:g}" + ("" if dropout is None else f", dropout {dropout:g}")
