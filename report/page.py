"""The page: sections that are built one by one, and the template that sets them."""

from collections.abc import Callable
from types import ModuleType

import jinja2
from markupsafe import Markup
from tqdm import tqdm

from ensemble.files import BadInput
from report import Missing, paper
from report.experiment import Experiment
from report.kept import TRAIN_IMAGES
from report.palette import DARK, LIGHT
from report.sections import (
    classes,
    compared,
    ensembles,
    examples,
    first_pass,
    gap,
    methods,
    nets,
    numbers,
    provenance,
    submission,
    training,
    views,
)
from solvers import InputError

SECTIONS: tuple[tuple[str, str, ModuleType], ...] = (
    ("numbers", "The report beside ours", numbers),
    ("first_pass", "Before the nets", first_pass),
    ("training", "Training", training),
    ("ensembles", "Ensembles", ensembles),
    ("methods", "Ensembling beyond the report", methods),
    ("views", "Test with crops", views),
    ("gap", "From val to test", gap),
    ("classes", "Classes", classes),
    ("examples", "Right and wrong", examples),
    ("submission", "The submission", submission),
    ("compared", "Beyond the report", compared),
    ("nets", "The nets", nets),
    ("provenance", "Provenance", provenance),
)


def page(experiment: Experiment, progress: Callable = tqdm) -> str:
    """The whole page as text; sections without data say what makes it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True)  # fmt: skip
    environment.filters["share"] = lambda value: "\N{EN DASH}" if value is None else f"{value:.4f}"
    environment.filters["signed"] = lambda value: f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["time"] = lambda stamp: stamp.replace("T", " ").replace("+00:00", " UTC")
    sections = []
    for name, title, module in progress(SECTIONS, desc="report", unit="section", disable=None):
        values, missing = {}, None
        try:
            values = module.build(experiment)
        except Missing as error:
            missing = str(error)
        except (BadInput, InputError, OSError) as error:
            missing = str(error)
            if missing not in experiment.problems:
                experiment.problems.append(missing)
        sections.append({"name": name, "title": title, "missing": missing, "values": values})
    return environment.get_template("page.html.j2").render(
        sections=sections,
        tiles=_tiles(experiment),
        note=_note(experiment),
        problems=experiment.problems,
        css=Markup(environment.get_template("page.css.j2").render(light=LIGHT, dark=DARK)),
    )


def _tiles(experiment: Experiment) -> list[tuple[str, str, str]]:
    """(what, ours, the report's) at the head of the page; only what was measured here."""
    tiles = []
    bests = [(best[1], model.name) for model in experiment.models if (best := model.curves.best())]
    if bests:
        value, name = max(bests)
        tiles.append((f"best single model, {name}, on val", f"{value:.3f}", paper.value("best-single")))
    if experiment.ensembles:
        best = experiment.ensembles.table[0]
        names = " + ".join(best.models)
        theirs = f"{paper.value('ensemble-accuracy')} on test"
        if best.holdout_accuracy is not None:
            tiles.append((f"best ensemble, {names}, on held-out images", f"{best.holdout_accuracy:.3f}", theirs))
        else:
            tiles.append((f"best ensemble, {names}, on val", f"{best.val_accuracy:.3f}", theirs))
    return tiles


def _note(experiment: Experiment) -> str | None:
    """That the runs are rehearsals, or the data is a part of Tiny ImageNet, where that is so."""
    if rehearsed := [model.name for model in experiment.models if model.rehearsal]:
        return (
            f"Rehearsals, trained for a part of the report's length: {', '.join(rehearsed)}. They show the way, and "
            "their numbers are no reproduction of the report's."
        )
    if experiment.build is None:
        return None
    records = experiment.build["records"]
    images = records["train"] + records.get("holdout", 0)
    if images == TRAIN_IMAGES:
        return None
    return (
        f"These runs had {images:,} training images, not the {TRAIN_IMAGES:,} of Tiny ImageNet: they show the way, and "
        "their numbers are no reproduction of the report's."
    )
