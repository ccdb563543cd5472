"""Numbers that the trainings gave: from the curves of the runs."""

import json
from dataclasses import replace
from math import isnan, nan

from harness.duration import duration
from harness.measurements import benchmark
from report import paper
from report.experiment import Experiment, Model
from report.measure.registry import Made, MeasuredNumber, measures

FIRST_RATE_EPOCHS = 20  # section 5: "within 20 epochs"
SECOND_RATE_ITERATIONS = 30_000  # section 5: "until about 30k iterations"


def _reports(experiment: Experiment) -> list[Model]:
    """The report's models; others, as nin1_prelu, have numbers of their own."""
    return [model for model in experiment.models if paper.family_of(model.name)]


def _family(experiment: Experiment, family: str) -> list[Model]:
    return [model for model in experiment.models if paper.family_of(model.name) == family]


def _epochs(model: Model, iteration: int) -> str:
    epoch = model.epoch(iteration)
    return f"{iteration} iterations" if epoch is None else f"{epoch:.3g} epochs"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _best(experiment: Experiment, tests: list[tuple[Model, int, float]]) -> MeasuredNumber | None:
    """The best accuracy of some tests, and its epoch; tests on fewer images than others do not count."""
    if not tests:
        return None
    most = max(experiment.tested(model) or 0 for model, *_ in tests)
    tests = [test for test in tests if (experiment.tested(test[0]) or 0) == most]
    model, iteration, value = max(tests, key=lambda test: test[2])
    note = f"{model.name} after {_epochs(model, iteration)}{_part_of_val(experiment, model)}"
    return MeasuredNumber(_share(value), note, (model.name,), images=most or None)


def _part_of_val(experiment: Experiment, model: Model) -> str:
    """The words ", on 2,000 of the 10,000 val images" if a test does not average them all."""
    images, val = experiment.tested(model), (experiment.build or {}).get("records", {}).get("val")
    return f", on {images:,} of the {val:,} val images" if images and val and images < val else ""


def _each(values: dict[Model, str], images: int | None = None) -> MeasuredNumber | None:
    """A value of each model."""
    if not values:
        return None
    names = tuple(model.name for model in values)
    return MeasuredNumber(", ".join(values.values()), ", ".join(names), names, images=images)


@measures("models-trained")
def models_trained(experiment: Experiment) -> MeasuredNumber | None:
    names = tuple(model.name for model in _reports(experiment))
    if not names:
        return None
    told = ", ".join(f"{model.name} {_epochs(model, model.curves.iteration)}" for model in _reports(experiment))
    return MeasuredNumber(str(len(names)), told, names)


@measures("hours")
def hours(experiment: Experiment) -> MeasuredNumber | None:
    if not _reports(experiment):
        return None
    total = sum(model.curves.seconds for model in _reports(experiment))
    return MeasuredNumber(
        duration(total), "tests and snapshots included", tuple(model.name for model in _reports(experiment))
    )


@measures("cost")
def cost(experiment: Experiment) -> MeasuredNumber | None:
    """The cost at a price that a user gave; it is not a measurement."""
    models = _reports(experiment)
    if experiment.price is None or not models:
        return None
    hours = sum(model.curves.seconds for model in models) / 3600
    note = f"{hours:.1f} hours at {experiment.price:g} dollars an hour, a price that was given"
    return MeasuredNumber(f"{hours * experiment.price:.2f}", note, tuple(model.name for model in models))


@measures("alexnet-gpus")
def gpus(experiment: Experiment) -> MeasuredNumber | None:
    """The number of GPUs in the logs; a requested GPU that was missing does not count."""
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
    return MeasuredNumber(same.pop() if len(same) == 1 else ours.value, ours.note + cpu, ours.models)


@measures("gpu-memory")
def gpu_memory(_: Experiment) -> MeasuredNumber | None:
    """The peak of PyTorch's own count in `make bench-gpu`, in MB, without the records."""
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
        MeasuredNumber(
            ", ".join(f"{row[2]:.0f}" for row in rows), f"{', '.join(row[0] for row in rows)} in fp32", made=made
        )
        if rows
        else None
    )


@measures("alexnet-saturates")
def alexnet_saturates(experiment: Experiment) -> MeasuredNumber | None:
    found = {model: model.curves.best() for model in _family(experiment, "alexnet")}
    # A net that was still gaining at its last test did not saturate.
    return _each({
        model: _epochs(model, best[0]).removesuffix(" epochs")
        for model, best in found.items() if best and best[0] < model.curves.series("accuracy")[-1][0]
    })  # fmt: skip


@measures("epochs-between-drops")
def epochs_between_drops(experiment: Experiment) -> MeasuredNumber | None:
    values = {}
    for model in _reports(experiment):
        at = [0, *(drop.iteration for drop in model.hand_drops)]
        ends = [model.epoch(iteration) for iteration in at]
        if len(ends) > 1 and None not in ends:
            values[model] = " and ".join(f"{end - start:.3g}" for start, end in zip(ends, ends[1:]))
    return _each(values)


@measures("drop-factor")
def drop_factor(experiment: Experiment) -> MeasuredNumber | None:
    dropped = [model for model in _reports(experiment) if model.hand_drops]
    factors = sorted({round(drop.before / drop.after, 2) for model in dropped for drop in model.hand_drops})
    return MeasuredNumber(", ".join(f"{f:g}" for f in factors), "", tuple(m.name for m in dropped)) if factors else None


@measures("alexnet-first-rate")
def alexnet_first_rate(experiment: Experiment) -> MeasuredNumber | None:
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
def alexnet_second_rate(experiment: Experiment) -> MeasuredNumber | None:
    return _best(experiment, [
        (model, at, value) for model in _family(experiment, "alexnet") if model.hand_drops
        for at, value in model.curves.series("accuracy")
        if model.hand_drops[0].iteration < at <= SECOND_RATE_ITERATIONS
    ])  # fmt: skip


@measures("nin-after-the-same-time")
def nin_after_the_same_time(experiment: Experiment) -> MeasuredNumber | None:
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
    """The epochs a rate lasted and the accuracy on val at its drop, for NINs with enough drops."""
    found = {}
    for model in _family(experiment, "nin"):
        if len(model.hand_drops) > number:
            drop = model.hand_drops[number]
            before = model.hand_drops[number - 1].iteration if number else 0
            reached = [value for at, value in model.curves.series("accuracy") if at <= drop.iteration]
            start, end = model.epoch(before), model.epoch(drop.iteration)
            found[model] = (None if end is None else end - start, reached[-1] if reached else float("nan"))
    return found


def _drop_epochs(experiment: Experiment, number: int) -> MeasuredNumber | None:
    lasted = {model: epochs for model, (epochs, _) in _drops(experiment, number).items()}
    return _each({model: f"{epochs:.3g}" for model, epochs in lasted.items() if epochs is not None})


def _drop_accuracy(experiment: Experiment, number: int) -> MeasuredNumber | None:
    drops = {model: value for model, (_, value) in _drops(experiment, number).items()}
    most = max((experiment.tested(model) or 0 for model in drops), default=0)
    values = {model: _share(value) for model, value in drops.items() if (experiment.tested(model) or 0) == most}
    return _each(values, most or None)


@measures("nin-first-drop-epoch")
def nin_first_drop_epoch(experiment: Experiment) -> MeasuredNumber | None:
    return _drop_epochs(experiment, 0)


@measures("nin-first-drop-accuracy")
def nin_first_drop_accuracy(experiment: Experiment) -> MeasuredNumber | None:
    return _drop_accuracy(experiment, 0)


@measures("nin-second-drop-epochs")
def nin_second_drop_epochs(experiment: Experiment) -> MeasuredNumber | None:
    return _drop_epochs(experiment, 1)


@measures("nin-second-drop-accuracy")
def nin_second_drop_accuracy(experiment: Experiment) -> MeasuredNumber | None:
    return _drop_accuracy(experiment, 1)


@measures("best-single")
def best_single(experiment: Experiment) -> MeasuredNumber | None:
    return _best(experiment, [(model, *model.curves.best()) for model in _reports(experiment) if model.curves.best()])
