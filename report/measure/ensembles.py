"""Numbers of the models and their combinations, in place of the judge's test set, which is closed.

Held-out train images replace it if there are any; otherwise val does, in two halves (ensemble/halves.py).
"""

from dataclasses import replace

from ensemble.combination import Combination
from ensemble.halves import ALL, BEST, SINGLE, Halves, halves
from harness import intervals
from report import chance, paper
from report.chance import CHANCE
from report.combinations import correlation
from report.experiment import Experiment
from report.measure.registry import MeasuredNumber, measures

_STANDS_FOR_TEST = "on held-out train images"
_IN_HALVES = "val in halves, chosen on one and scored on the other, both ways"


def _singles(experiment: Experiment) -> dict[str, tuple[float, float]]:
    """Each model's accuracies on val and on the held-out images, if it has both."""
    both = {name: (experiment.scores(name, "val"), experiment.scores(name, "holdout")) for name in experiment.scored}
    both = {name: files for name, files in both.items() if paper.family_of(name)}
    return {name: (val.accuracy, held.accuracy) for name, (val, held) in both.items() if val and held}


def _each(experiment: Experiment, values: dict[str, float]) -> MeasuredNumber | None:
    if not values:
        return None
    shown = ", ".join(f"{value:.3f}" for value in values.values())
    images = len(experiment.scores(next(iter(values)), "holdout").labels)
    return MeasuredNumber(shown, f"{', '.join(values)}, {_STANDS_FOR_TEST}", tuple(values), images=images)


def in_halves(experiment: Experiment, name: str) -> Halves | None:
    """The result of a rule of choice among the report's models; ALL uses its three NIN. None without their scores."""
    if experiment.ensembles is None:
        return None
    val = dict(zip(experiment.ensembles.models, experiment.ensembles.val))
    families = {model: paper.family_of(model) for model in val}
    models = [model for model, family in families.items() if family == "nin" or (family and name != ALL)]
    if not models or (name == ALL and len(models) != 3) or len(val[models[0]].labels) < 2:
        return None
    return halves(name, models, [val[model] for model in models])


def _of_halves(experiment: Experiment, name: str, error: bool) -> MeasuredNumber | None:
    found = in_halves(experiment, name)
    if found is None:
        return None
    share = found.accuracy.value
    note = f"{found.chosen}: {_IN_HALVES}"
    return MeasuredNumber(f"{1 - share if error else share:.3f}", note, found.models, images=found.images)


@measures("single-test-error")
def single_test_error(experiment: Experiment) -> MeasuredNumber | None:
    held_out = {name: 1 - held for name, (_, held) in _singles(experiment).items()}
    return _each(experiment, held_out) or _of_halves(experiment, SINGLE, error=True)


@measures("single-test-accuracy")
def single_test_accuracy(experiment: Experiment) -> MeasuredNumber | None:
    held_out = {name: held for name, (_, held) in _singles(experiment).items()}
    return _each(experiment, held_out) or _of_halves(experiment, SINGLE, error=False)


@measures("val-test-gap")
def val_test_gap(experiment: Experiment) -> MeasuredNumber | None:
    ours = _each(experiment, {name: val - held for name, (val, held) in _singles(experiment).items()})
    return ours and replace(ours, note=f"{ours.note}; 95 %: {', '.join(_gaps(experiment))}")


def _gaps(experiment: Experiment) -> list[str]:
    """The interval of each model's loss from val to the held-out images."""
    found = []
    for name, shares in _singles(experiment).items():
        images = (len(experiment.scores(name, split).labels) for split in ("val", "holdout"))
        gap = intervals.difference(*(chance.interval(*pair) for pair in zip(shares, images)))
        found.append(f"{gap.low:.3f} to {gap.high:.3f}".replace("-", "\N{MINUS SIGN}"))
    return found


@measures("ensemble-members")
def ensemble_members(experiment: Experiment) -> MeasuredNumber | None:
    if experiment.ensembles is None:
        return None
    models = experiment.ensembles.models
    families = [paper.family_of(model) for model in models]
    parts = [(families.count("alexnet"), "AlexNet"), (families.count("nin"), "NIN"), (families.count(None), "other")]
    return MeasuredNumber(f"{len(models)}: " + ", ".join(f"{n} {name}" for n, name in parts if n), "", tuple(models))


@measures("best-ensemble")
def best_ensemble(experiment: Experiment) -> MeasuredNumber | None:
    if experiment.ensembles is None:
        return None
    best = next((one for one in experiment.ensembles.table if all(map(paper.family_of, one.models))), None)
    if best is None:
        return None
    note = f"{best.val_accuracy:.3f} on val, which chose it"
    if found := in_halves(experiment, BEST):
        value, low, high = found.accuracy
        note += f"; {value:.3f} (95 %: {low:.3f} to {high:.3f}) by the same rule in {_IN_HALVES}"
    return MeasuredNumber(" + ".join(best.models), f"{note}; chance {CHANCE:.3f}", tuple(best.models))


def _three_nins(experiment: Experiment) -> Combination | None:
    def is_it(one: Combination) -> bool:
        return len(one.models) == 3 and all(paper.family_of(model) == "nin" for model in one.models)

    return next(filter(is_it, experiment.ensembles.table), None) if experiment.ensembles else None


@measures("ensemble-accuracy")
def ensemble_accuracy(experiment: Experiment) -> MeasuredNumber | None:
    one = _three_nins(experiment)
    if one is None or one.holdout_accuracy is None:
        return _of_halves(experiment, ALL, error=False)
    note = f"{_STANDS_FOR_TEST}; {one.val_accuracy:.3f} on val"
    return MeasuredNumber(f"{one.holdout_accuracy:.3f}", note, tuple(one.models), images=_held_out(experiment))


@measures("ensemble-error")
def ensemble_error(experiment: Experiment) -> MeasuredNumber | None:
    one = _three_nins(experiment)
    if one is None or one.holdout_accuracy is None:
        return _of_halves(experiment, ALL, error=True)
    return MeasuredNumber(
        f"{1 - one.holdout_accuracy:.3f}", _STANDS_FOR_TEST, tuple(one.models), images=_held_out(experiment)
    )


def _held_out(experiment: Experiment) -> int:
    return len(experiment.ensembles.holdout[0].labels)


@measures("deviation-correlation")
def deviation_correlation(experiment: Experiment) -> MeasuredNumber | None:
    if experiment.ensembles is None:
        return None
    spreads = experiment.ensembles.spreads()
    r = correlation(spreads)
    if r is None:
        return None
    split = "held-out images" if experiment.ensembles.holdout else "val"
    return MeasuredNumber(
        f"r = {r:.2f}".replace("-", "\N{MINUS SIGN}"),
        f"{len(spreads)} combinations, accuracy on {split}",
        tuple(experiment.ensembles.models),
    )
