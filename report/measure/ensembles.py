"""What the models and their combinations give on images that are not val: the held-out ones stand for test."""

from ensemble.combine import Combination
from report import paper
from report.combinations import correlation
from report.experiment import Experiment
from report.ours import Ours, measures

_STANDS_FOR_TEST = "on held-out train images"


def _singles(experiment: Experiment) -> dict[str, tuple[float, float]]:
    """(accuracy on val, on the held-out images) of each model that has both."""
    both = {name: (experiment.scores(name, "val"), experiment.scores(name, "holdout")) for name in experiment.scored}
    both = {name: files for name, files in both.items() if paper.family_of(name)}
    return {name: (val.accuracy, held.accuracy) for name, (val, held) in both.items() if val and held}


def _each(values: dict[str, float]) -> Ours | None:
    if not values:
        return None
    shown = ", ".join(f"{value:.3f}" for value in values.values())
    return Ours(shown, f"{', '.join(values)}, {_STANDS_FOR_TEST}", tuple(values))


@measures("single-test-error")
def single_test_error(experiment: Experiment) -> Ours | None:
    return _each({name: 1 - held for name, (_, held) in _singles(experiment).items()})


@measures("single-test-accuracy")
def single_test_accuracy(experiment: Experiment) -> Ours | None:
    return _each({name: held for name, (_, held) in _singles(experiment).items()})


@measures("val-test-gap")
def val_test_gap(experiment: Experiment) -> Ours | None:
    return _each({name: val - held for name, (val, held) in _singles(experiment).items()})


@measures("ensemble-members")
def ensemble_members(experiment: Experiment) -> Ours | None:
    if experiment.ensembles is None:
        return None
    models = experiment.ensembles.models
    families = [paper.family_of(model) for model in models]
    parts = [(families.count("alexnet"), "AlexNet"), (families.count("nin"), "NIN"), (families.count(None), "other")]
    return Ours(f"{len(models)}: " + ", ".join(f"{n} {name}" for n, name in parts if n), "", tuple(models))


@measures("best-ensemble")
def best_ensemble(experiment: Experiment) -> Ours | None:
    if experiment.ensembles is None:
        return None
    best = next((one for one in experiment.ensembles.table if all(map(paper.family_of, one.models))), None)
    if best is None:
        return None
    return Ours(" + ".join(best.models), f"{best.val_accuracy:.3f} on val", tuple(best.models))


def _three_nins(experiment: Experiment) -> Combination | None:
    def is_it(one: Combination) -> bool:
        return len(one.models) == 3 and all(paper.family_of(model) == "nin" for model in one.models)

    return next(filter(is_it, experiment.ensembles.table), None) if experiment.ensembles else None


@measures("ensemble-accuracy")
def ensemble_accuracy(experiment: Experiment) -> Ours | None:
    one = _three_nins(experiment)
    if one is None or one.holdout_accuracy is None:
        return None
    note = f"{_STANDS_FOR_TEST}; {one.val_accuracy:.3f} on val"
    return Ours(f"{one.holdout_accuracy:.3f}", note, tuple(one.models))


@measures("ensemble-error")
def ensemble_error(experiment: Experiment) -> Ours | None:
    one = _three_nins(experiment)
    if one is None or one.holdout_accuracy is None:
        return None
    return Ours(f"{1 - one.holdout_accuracy:.3f}", _STANDS_FOR_TEST, tuple(one.models))


@measures("deviation-correlation")
def deviation_correlation(experiment: Experiment) -> Ours | None:
    if experiment.ensembles is None:
        return None
    spreads = experiment.ensembles.spreads()
    r = correlation(spreads)
    if r is None:
        return None
    split = "held-out images" if experiment.ensembles.holdout else "val"
    return Ours(
        f"r = {r:.2f}".replace("-", "\N{MINUS SIGN}"),
        f"{len(spreads)} combinations, accuracy on {split}",
        tuple(experiment.ensembles.models),
    )
