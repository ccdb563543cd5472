"""What the trainings gave: from the curves of the runs."""

import json
from dataclasses import replace
from math import isnan, nan

from harness.duration import duration
from harness.measurements import benchmark
from report import paper
from report.experiment import Experiment, Model
from report.ours import Made, Ours, measures

FIRST_RATE_EPOCHS = 20  # section 5: "within 20 epochs"
SECOND_RATE_ITERATIONS = 30_000  # section 5: "until about 30k iterations"


def _reports(experiment: Experiment) -> list[Model]:
    """The report's models; what is beside them, as nin1_prelu, has numbers of its own."""
    return [model for model in experiment.models if paper.family_of(model.name)]


def _family(experiment: Experiment, family: str) -> list[Model]:
    return [model for model in experiment.models if paper.family_of(model.name) == family]


def _epochs(model: Model, iteration: int) -> str:
    epoch = model.epoch(iteration)
    return f"{iteration} iterations" if epoch is None else f"{epoch:.3g} epochs"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _best(experiment: Experiment, tests: list[tuple[Model, int, float]]) -> Ours | None:
    """The best accuracy of some tests, and after how long; of tests on fewer images than others have none."""
    if not tests:
        return None
    most = max(experiment.tested(model) or 0 for model, *_ in tests)
    tests = [test for test in tests if (experiment.tested(test[0]) or 0) == most]
    model, iteration, value = max(tests, key=lambda test: test[2])
    note = f"{model.name} after {_epochs(model, iteration)}{_part_of_val(experiment, model)}"
    return Ours(_share(value), note, (model.name,), images=most or None)


def _part_of_val(experiment: Experiment, model: Model) -> str:
    """ ", on 2,000 of the 10,000 val images" where a test does not average them all."""
    images, val = experiment.tested(model), (experiment.build or {}).get("records", {}).get("val")
    return f", on {images:,} of the {val:,} val images" if images and val and images < val else ""


def _each(values: dict[Model, str], images: int | None = None) -> Ours | None:
    """A value of each model."""
    if not values:
        return None
    names = tuple(model.name for model in values)
    return Ours(", ".join(values.values()), ", ".join(names), names, images=images)


@measures("models-trained")
def models_trained(experiment: Experiment) -> Ours | None:
    names = tuple(model.name for model in _reports(experiment))
    if not names:
        return None
    told = ", ".join(f"{model.name} {_epochs(model, model.curves.iteration)}" for model in _reports(experiment))
    return Ours(str(len(names)), told, names)


@measures("hours")
def hours(experiment: Experiment) -> Ours | None:
    if not _reports(experiment):
        return None
    total = sum(model.curves.seconds for model in _reports(experiment))
    return Ours(duration(total), "tests and snapshots included", tuple(model.name for model in _reports(experiment)))


@measures("cost")
def cost(experiment: Experiment) -> Ours | None:
    """By a price that a person gave: a cost is no measurement."""
    models = _reports(experiment)
    if experiment.price is None or not models:
        return None
    hours = sum(model.curves.seconds for model in models) / 3600
    note = f"{hours:.1f} hours at {experiment.price:g} dollars an hour, a price that was given"
    return Ours(f"{hours * experiment.price:.2f}", note, tuple(model.name for model in models))


@measures("alexnet-gpus")
def gpus(experiment: Experiment) -> Ours | None:
    """As the logs say; a GPU that was asked for and was not there is none."""
    found = {
        model: sorted({point.run.gpus for point in model.curves.displayed if point.run.gpus is not None})
        for model in _reports(experiment)
    }
    values = {model: " and ".join(map(str, counts)) for model, counts in found.items() if counts}
    ours = _each(values)
    if ours is None:
        return None
    cpu = "; 0: on the CPU" if any("0" in value.split() for value in values.values()) else ""
    same = set(values.values())
    return Ours(same.pop() if len(same) == 1 else ours.value, ours.note + cpu, ours.models)


@measures("gpu-memory")
def gpu_memory(_: Experiment) -> Ours | None:
    """Of `make bench-gpu`: PyTorch's own count at its highest, in MB, without the records."""
    try:
        found = json.loads(benchmark("bench_gpu.json").read_text(encoding="utf-8"))
        rows = [
            (row["work"].removeprefix("train "), row["precision"], row["peak MiB"] * 1.048576) for row in found["rows"]
        ]
        made = Made("make bench-gpu", found["commit"], found["machine"], None, (), 0.0, found["time"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    rows = [row for row in rows if row[1] == "fp32"]
    return (
        Ours(", ".join(f"{row[2]:.0f}" for row in rows), f"{', '.join(row[0] for row in rows)} in fp32", made=made)
        if rows
        else None
    )


@measures("alexnet-saturates")
def alexnet_saturates(experiment: Experiment) -> Ours | None:
    found = {model: model.curves.best() for model in _family(experiment, "alexnet")}
    # A net that was still gaining at its last test did not saturate.
    return _each({
        model: _epochs(model, best[0]).removesuffix(" epochs")
        for model, best in found.items() if best and best[0] < model.curves.series("accuracy")[-1][0]
    })  # fmt: skip


@measures("epochs-between-drops")
def epochs_between_drops(experiment: Experiment) -> Ours | None:
    values = {}
    for model in _reports(experiment):
        at = [0, *(drop.iteration for drop in model.hand_drops)]
        ends = [model.epoch(iteration) for iteration in at]
        if len(ends) > 1 and None not in ends:
            values[model] = " and ".join(f"{end - start:.3g}" for start, end in zip(ends, ends[1:]))
    return _each(values)


@measures("drop-factor")
def drop_factor(experiment: Experiment) -> Ours | None:
    dropped = [model for model in _reports(experiment) if model.hand_drops]
    factors = sorted({round(drop.before / drop.after, 2) for model in dropped for drop in model.hand_drops})
    return Ours(", ".join(f"{f:g}" for f in factors), "", tuple(m.name for m in dropped)) if factors else None


@measures("alexnet-first-rate")
def alexnet_first_rate(experiment: Experiment) -> Ours | None:
    tests = []
    for model in _family(experiment, "alexnet"):
        changes = model.curves.rate_changes
        rate = changes[0].before if changes else model.solver.base_lr
        end = changes[0].iteration if changes else float("inf")
        if abs(rate - 0.01) < 1e-6:
            tests += [(model, at, value) for at, value in model.curves.series("accuracy")
                      if at <= end and (model.epoch(at) or 0) <= FIRST_RATE_EPOCHS]  # fmt: skip
    return _best(experiment, tests)


@measures("alexnet-second-rate")
def alexnet_second_rate(experiment: Experiment) -> Ours | None:
    return _best(experiment, [
        (model, at, value) for model in _family(experiment, "alexnet") if model.hand_drops
        for at, value in model.curves.series("accuracy")
        if model.hand_drops[0].iteration < at <= SECOND_RATE_ITERATIONS
    ])  # fmt: skip


@measures("nin-after-the-same-time")
def nin_after_the_same_time(experiment: Experiment) -> Ours | None:
    alexnets = _family(experiment, "alexnet")
    if not alexnets:
        return None
    seconds = max(model.curves.seconds for model in alexnets)
    tests = [(model, test.iteration, test.outputs["accuracy"]) for model in _family(experiment, "nin")
             for test in model.curves.tested
             if test.net == 0 and test.seconds <= seconds and not isnan(test.outputs.get("accuracy", nan))]  # fmt: skip
    found = _best(experiment, tests)
    return found and replace(found, note=f"{found.note}, in the {duration(seconds)} that AlexNet took")


def _drops(experiment: Experiment, number: int) -> dict[Model, tuple[float | None, float]]:
    """The epochs that a rate lasted and the accuracy on val at its drop, for the NINs with so many drops."""
    found = {}
    for model in _family(experiment, "nin"):
        if len(model.hand_drops) > number:
            drop = model.hand_drops[number]
            before = model.hand_drops[number - 1].iteration if number else 0
            reached = [value for at, value in model.curves.series("accuracy") if at <= drop.iteration]
            start, end = model.epoch(before), model.epoch(drop.iteration)
            found[model] = (None if end is None else end - start, reached[-1] if reached else float("nan"))
    return found


def _drop_epochs(experiment: Experiment, number: int) -> Ours | None:
    lasted = {model: epochs for model, (epochs, _) in _drops(experiment, number).items()}
    return _each({model: f"{epochs:.3g}" for model, epochs in lasted.items() if epochs is not None})


def _drop_accuracy(experiment: Experiment, number: int) -> Ours | None:
    drops = {model: value for model, (_, value) in _drops(experiment, number).items()}
    most = max((experiment.tested(model) or 0 for model in drops), default=0)
    values = {model: _share(value) for model, value in drops.items() if (experiment.tested(model) or 0) == most}
    return _each(values, most or None)


@measures("nin-first-drop-epoch")
def nin_first_drop_epoch(experiment: Experiment) -> Ours | None:
    return _drop_epochs(experiment, 0)


@measures("nin-first-drop-accuracy")
def nin_first_drop_accuracy(experiment: Experiment) -> Ours | None:
    return _drop_accuracy(experiment, 0)


@measures("nin-second-drop-epochs")
def nin_second_drop_epochs(experiment: Experiment) -> Ours | None:
    return _drop_epochs(experiment, 1)


@measures("nin-second-drop-accuracy")
def nin_second_drop_accuracy(experiment: Experiment) -> Ours | None:
    return _drop_accuracy(experiment, 1)


@measures("best-single")
def best_single(experiment: Experiment) -> Ours | None:
    return _best(experiment, [(model, *model.curves.best()) for model in _reports(experiment) if model.curves.best()])
