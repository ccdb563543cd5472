"""Test with crops: the gain of several windows of an image over its centre, and their cost."""

from harness.errors import UserError
from report import Missing, results_files
from report.experiment import Experiment
from report.plots import views as plots

#: Fields of a row that the template shows.
_SHOWN = ("split", "view", "windows", "images", "accuracy", "interval", "seconds")


def build(experiment: Experiment) -> dict:
    files = experiment.current("views", results_files.read("views", experiment.runs, "rows"))
    if not files:
        raise Missing("No view but the centre is scored yet: make views-nin1")
    try:
        models = [_model(one) for one in files]
        # Kept results may use other val images than the runs here, so one plot shows only one of the two.
        plotted = [one for one in files if not one["kept"]] or files
        return {"models": models, "plotted": [one["model"] for one in plotted], "plot": plots.gains(plotted, "views")}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"views_*.json: not what `make views-nin1` writes ({error!r})") from error


def _model(found: dict) -> dict:
    if not found["rows"]:
        raise ValueError("no rows")
    for row in found["rows"]:
        if missing := [name for name in _SHOWN if name not in row]:
            raise KeyError(missing[0])
    return {**found, "words": [_words(row) for row in found["rows"] if "gain" in row]}


def _words(row: dict) -> str:
    """The effect of a view, by the interval of its gain."""
    low, high = row["gain_interval"]
    amount = f"{100 * row['gain']:+.1f} points on {row['split']}".replace("-", "\N{MINUS SIGN}")
    if low > 0:
        return f"{row['view']} helps: {amount}"
    return f"{row['view']} harms: {amount}" if high < 0 else f"{row['view']}: {amount}, not beyond noise"
