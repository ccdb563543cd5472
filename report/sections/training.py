"""The curves of every run, with the edits made during it."""

from statistics import median

from harness.duration import duration
from report import Missing, chance
from report.experiment import Experiment, Model
from report.plots import training


def build(experiment: Experiment) -> dict:
    if not experiment.models:
        first = (experiment.untrained or ["nin1"])[0]
        raise Missing(f"No model is trained yet: make train-{first}")
    return {
        "overview": training.all_beside_the_report(experiment.models, "curves"),
        "rows": [_row(experiment, model) for model in experiment.models],
        "models": [_shown(experiment, model, number) for number, model in enumerate(experiment.models, 1)],
        "untrained": experiment.untrained,
        "mixed": len({experiment.tested(model) for model in experiment.models}) > 1,
    }


def _shown(experiment: Experiment, model: Model, number: int) -> dict:
    curves = model.curves
    return {
        "name": model.name,
        "loss": training.loss(model, f"loss-{number}"),
        "accuracy": training.accuracy(model, f"accuracy-{number}"),
        "images": experiment.tested(model),
        "facts": _facts(model, experiment.tested(model)),
        "drops": [
            {
                "iteration": change.iteration,
                "epoch": model.epoch(change.iteration),
                "before": change.before,
                "after": change.after,
                "by_hand": change.by_hand,
                "accuracy": _reached(model, change.iteration),
            }
            for change in curves.rate_changes
        ],
        "train_images": model.train_accuracy[-1].images if model.train_accuracy else None,
    }


def _row(experiment: Experiment, model: Model) -> dict:
    best = model.curves.best()
    return {
        "name": model.name,
        "epochs": model.epoch(model.curves.iteration),
        "best": best[1] if best else None,
        "images": experiment.tested(model),
        "drops": len(model.curves.rate_changes),
        "time": duration(model.curves.seconds),
    }


def _facts(model: Model, images: int | None) -> list[tuple[str, str]]:
    curves = model.curves
    epoch = model.epoch(curves.iteration)
    length = f"iteration {curves.iteration:,} of {model.solver.max_iter:,}"
    facts = [("trained to", length if epoch is None else f"{length}, {epoch:.3g} epochs")]
    if best := curves.best():
        found = chance.interval(best[1], images)
        beside = f" (95 %: {found.low:.4f} to {found.high:.4f}; chance {chance.CHANCE:.4f})" if found else ""
        facts.append(("best on val", f"{best[1]:.4f}{beside} at iteration {best[0]:,}"))
    if curves.displayed:
        facts.append(("loss", f"{curves.displayed[-1].loss:.4f} at the end"))
    facts.append(("time", duration(curves.seconds)))
    speeds = [point.speed for point in curves.displayed if point.speed]
    if speeds and model.set:
        facts.append(("speed", f"{median(speeds) * model.set.batch:,.0f} images/s"))
    return facts


def _reached(model: Model, iteration: int) -> float | None:
    """The newest accuracy on val up to an iteration."""
    values = [value for at, value in model.curves.series("accuracy") if at <= iteration]
    return values[-1] if values else None
