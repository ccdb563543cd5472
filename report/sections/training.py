"""The curves of every run, with what was edited on the way."""

from statistics import median

from report import Missing
from report.duration import duration
from report.experiment import Experiment, Model
from report.plots import training


def build(experiment: Experiment) -> dict:
    if not experiment.models:
        first = (experiment.untrained or ["nin1"])[0]
        raise Missing(f"No model is trained yet: make train-{first}")
    return {
        "overview": training.all_beside_the_report(experiment.models, "curves"),
        "rows": [_row(model) for model in experiment.models],
        "models": [_shown(model, number) for number, model in enumerate(experiment.models, 1)],
        "untrained": experiment.untrained,
    }


def _shown(model: Model, number: int) -> dict:
    curves = model.curves
    return {
        "name": model.name,
        "loss": training.loss(model, f"loss-{number}"),
        "accuracy": training.accuracy(model, f"accuracy-{number}"),
        "facts": _facts(model),
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


def _row(model: Model) -> dict:
    best = model.curves.best()
    return {
        "name": model.name,
        "epochs": model.epoch(model.curves.iteration),
        "best": best[1] if best else None,
        "drops": len(model.curves.rate_changes),
        "time": duration(model.curves.seconds),
    }


def _facts(model: Model) -> list[tuple[str, str]]:
    curves = model.curves
    epoch = model.epoch(curves.iteration)
    length = f"iteration {curves.iteration:,} of {model.solver.max_iter:,}"
    facts = [("trained to", length if epoch is None else f"{length}, {epoch:.3g} epochs")]
    if best := curves.best():
        facts.append(("best on val", f"{best[1]:.4f} at iteration {best[0]:,}"))
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
