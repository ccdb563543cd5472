"""The work before the five trainings: K-means, and both architectures at several learning rates."""

from first_pass import choice, kmeans, outcome
from first_pass.outcome import Exploration
from harness.duration import duration
from report import Missing, full_runs, paper, save_results
from report.experiment import Experiment
from report.measure.first_pass import explored, kmeans_rows
from report.plots import first_pass as plots


def build(experiment: Experiment) -> dict:
    """Show the results of this folder, otherwise those kept in results/."""
    values = {"kmeans": _kmeans(experiment), "explored": _explored(experiment)}
    if not any(values.values()):
        raise Missing("Nothing yet: make kmeans; make explore EPOCHS=3")
    return values


def _kmeans(experiment: Experiment) -> dict | None:
    here = kmeans_rows(experiment)
    rows = here or kmeans.read(save_results.FILE.with_name(kmeans.NAME))
    if not rows:
        return None
    return {
        "rows": rows,
        "kept": not here,
        "machines": sorted({row.machine for row in rows if row.machine}),
        "images": rows[0].train_images,
        "val_images": rows[0].val.images,
        "pixels": rows[0].values,
        "chance": kmeans.CHANCE,
        "theirs": paper.value("kmeans-error"),
    }


def _explored(experiment: Experiment) -> dict | None:
    here = explored(experiment)
    found = here or outcome.load(save_results.FILE.with_name(outcome.NAME))
    if found is None:
        return None
    chosen, reason = choice.choose(found.outcomes)
    return {
        "loss": plots.losses(found, "explored-loss"),
        "accuracy": plots.accuracies(found, "explored-accuracy"),
        "rows": [(one, one.interval, duration(one.seconds)) for one in found.outcomes],
        "chosen": chosen,
        "reason": reason,
        "best": choice.best_of_each_model(found.outcomes),
        "kept": here is None,
        "part": found.train_images < full_runs.TRAIN_IMAGES,
        "about": _about(found),
    }


def _about(found: Exploration) -> str:
    parts = [f"{found.train_images:,} train images", found.precision, found.machine, found.command]
    return ", ".join(part for part in parts if part)
