"""The page: sections that are built one by one, and the template that shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import jinja2
from markupsafe import Markup
from tqdm import tqdm

from harness.errors import UserError
from report import Missing, about, chance, paper
from report.experiment import Experiment
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
    """The whole page as text; a section without data names the command that makes it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True)  # fmt: skip
    environment.filters.update(_filters())
    environment.globals["chance"] = f"{chance.CHANCE:.4f}"
    environment.globals["images_are"] = "drawings" if experiment.drawn else "images"
    sections = []
    for name, title, module in progress(SECTIONS, desc="report", unit="section", disable=None):
        values, missing = {}, None
        try:
            values = module.build(experiment)
        except Missing as error:
            missing = str(error)
        except (UserError, OSError) as error:
            missing = str(error)
            if missing not in experiment.problems:
                experiment.problems.append(missing)
        sections.append({"name": name, "title": title, "missing": missing, "values": values})
    return environment.get_template("page.html.j2").render(
        sections=sections,
        tiles=_tiles(experiment),
        caveats=about.caveats(experiment),
        data=about.data(experiment),
        trained=about.trained(experiment),
        problems=experiment.problems,
        css=Markup(environment.get_template("page.css.j2").render(light=LIGHT, dark=DARK)),
    )


def _filters() -> dict[str, Callable]:
    """The filters with which the templates show numbers."""

    def share(value):
        return "\N{EN DASH}" if value is None else f"{value:.4f}"

    def bounds(value, images):
        found = chance.interval(value, images)
        return f"{found.low:.4f} to {found.high:.4f}" if found else ""

    return {
        "share": share,
        "bounds": bounds,
        "signed": lambda value: f"{value:+.4f}".replace("-", "\N{MINUS SIGN}"),
        "percent": lambda value: f"{100 * value:.1f}",
        "time": lambda stamp: stamp.replace("T", " ").replace("+00:00", " UTC"),
    }


@dataclass(frozen=True)
class Tile:
    """A number at the head of the page."""

    what: str
    value: str
    beside: str  # its interval and its images
    theirs: str


def _tiles(experiment: Experiment) -> list[Tile]:
    """The best single model and the best ensemble, on the same images; only those measured here are shown."""
    if experiment.ensembles:
        table = experiment.ensembles.table  # sorted, the best on val first
        held_out = experiment.ensembles.holdout
        files, split = (held_out, "held-out images") if held_out else (experiment.ensembles.val, "val images")
        single, best = next(one for one in table if len(one.models) == 1), table[0]
        return [
            _tile(f"best {what}, {' + '.join(one.models)}", one.holdout_accuracy if held_out else one.val_accuracy,
                  len(files[0].labels), split + (", chosen on val" if held_out else ", which chose it"), theirs)
            for what, one, theirs in (("single model", single, f"{paper.value('best-single')} on val"),
                                      ("ensemble", best, f"{paper.value('ensemble-accuracy')} on test"))
        ]  # fmt: skip
    bests = [(best[1], model) for model in experiment.models if (best := model.curves.best())]
    most = max((experiment.tested(model) or 0 for _, model in bests), default=0)
    bests = [(value, model) for value, model in bests if (experiment.tested(model) or 0) == most]
    if not bests:
        return []
    value, model = max(bests, key=lambda best: best[0])
    tests = len(model.curves.series("accuracy"))
    where = f"val images, the best of {tests} tests" if tests > 1 else "val images"
    return [_tile(f"best single model, {model.name}", value, most, where, f"{paper.value('best-single')} on val")]


def _tile(what: str, value: float, images: int, where: str, theirs: str) -> Tile:
    found = chance.interval(value, images)
    beside = f"95 %: {found.low:.3f} to {found.high:.3f}; of {images:,} {where}" if found else where
    return Tile(what, f"{value:.3f}", beside, theirs)
