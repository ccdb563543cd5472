"""Our numbers that are kept: results/measured.json, which is committed and outlives runs/.

    python -m report.kept [--out results/measured.json] [--replace] [--price 0.5]        (make results)

measures what runs/ holds and puts it into the file: numbers that are measured again are replaced, all others
stay. One of a longer training is not replaced by one of a shorter, unless --replace says so; a rehearsal's never get
there. What stands behind one in more rows, kmeans.json and explore.json, is laid beside it, and the trainings' curves
are added to trainings.json and drawn in curves.svg. Each number says its value, of what
it is, and the command, commit, machine, data, seeds and times behind it. Numbers of a part of Tiny ImageNet are
refused: they would not stand for what the report measured.
"""

import argparse
import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import commands
from baselines import kmeans
from ensemble import comparison_file
from ensemble.files import BadInput, whole_file
from ensemble.trained_on import other_images
from explore import outcome
from report import paper, trainings
from report.experiment import Experiment, open_experiment
from report.measure.first_pass import explored, kmeans_rows
from report.ours import Ours, measured

FILE = Path("results/measured.json")
BEST = "best-single"  # the best of all models that were ever trained
TRAIN_IMAGES = 100_000  # of all Tiny ImageNet (section 2)


@dataclass(frozen=True)
class Kept:
    """A number that was measured, and what stands behind it."""

    value: str
    note: str
    command: str
    commit: str | None
    machine: str | None
    data: str | None
    seeds: list[int]
    hours: float  # of training or fitting
    time: str | None  # when the last of it ended
    precision: str | None = None  # of the arithmetic: fp32, or what was in force one after the other
    epochs: float | None = None  # of training, all its models together


def read(path: Path) -> dict[str, Kept]:
    """By name in the report's order; empty without a file. BadInput for one that is broken."""
    if not path.is_file():
        return {}
    try:
        found = {name: Kept(**fields) for name, fields in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path}: not what `make results` writes ({error!r}); restore it from git") from error
    known = [number.name for number in paper.numbers()]
    if stranger := next((name for name in found if name not in known), None):
        raise BadInput(f"{path}: {stranger} is no number of report/paper.toml")
    return {name: found[name] for name in known if name in found}


def keep(ours: Ours, experiment: Experiment) -> Kept:
    """A number with what its runs' journals say, or what it says itself."""
    if made := ours.made:
        hours = round(made.seconds / 3600, 3)
        behind = (made.command, made.commit, made.machine, made.data, list(made.seeds), hours, made.time)
        return Kept(ours.value, ours.note, *behind)
    models = [model for model in experiment.models if model.name in ours.models]
    runs = [run for model in models for run in model.journal]
    verbs = [f"{verb}-{model.name}" for model in models for verb in ("train", "resume")[: len(model.journal)]]
    precisions = dict.fromkeys(point.run.precision or "fp32" for model in models for point in model.curves.displayed)
    epochs = [model.epoch(model.curves.iteration) for model in models]
    return Kept(
        ours.value,
        ours.note,
        f"make {' '.join(verbs)}",
        _one(run.get("commit") for run in runs),
        _one(run.get("machine") for run in runs),
        _one(run.get("data") for run in runs),
        sorted({model.solver.random_seed for model in models}),
        round(sum(model.curves.seconds for model in models) / 3600, 3),
        max((run["end"]["time"] for run in runs if run["end"]), default=None),
        ", then ".join(precisions) or None,
        None if None in epochs or not epochs else round(sum(epochs), 2),
    )


def _is_less(name: str, new: Kept, old: Kept | None) -> bool:
    """Whether a number is of a shorter training than the one that is kept, or of a worse model where the best counts."""
    if old is None:
        return False
    if name == BEST and _models(new) != _models(old):
        return float(new.value) < float(old.value)
    return None not in (new.epochs, old.epochs) and new.epochs < old.epochs


def _models(kept: Kept) -> set[str]:
    return set(re.findall(r"(?:train|resume)-(\S+)", kept.command))


def _leave_out_other_images(experiment: Experiment) -> list[str]:
    """Take out the models that were trained on other images than those of data/lmdb; a line for each.

    What an epoch is, and what a number stands for, is known of the images that are there.
    """
    other = [model for model in experiment.models if other_images(model.folder, experiment.data)]
    experiment.models = [model for model in experiment.models if model not in other]
    return [f"{model.folder}: left out, was trained on other images than those of {experiment.data}" for model in other]


def _one(values) -> str | None:
    """What the runs say, each thing once; None where no run says it."""
    said = list(dict.fromkeys(value for value in values if value))
    return "; ".join(said) or None


def _run(options: argparse.Namespace) -> None:
    experiment = open_experiment(options.runs, options.data)
    experiment.price = options.price
    rehearsed = [model.name for model in experiment.models if model.rehearsal]
    if rehearsed:
        raise BadInput(f"{options.runs}: {', '.join(rehearsed)} were rehearsed at a part of their length; not kept")
    for problem in experiment.problems:
        print(f"report.kept: {problem}", file=sys.stderr)
    if experiment.build is None:
        raise BadInput(f"{options.data}: no build.json, so it is not known what was trained on; `make lmdb`")
    records = experiment.build["records"]
    images = records["train"] + records.get("holdout", 0)
    if images != TRAIN_IMAGES:
        raise BadInput(f"{options.data}: {images} train images, not the {TRAIN_IMAGES} of Tiny ImageNet; not kept")
    for problem in _leave_out_other_images(experiment):
        print(f"report.kept: {problem}", file=sys.stderr)
    # The others are read from files that are committed, or from the data itself.
    results = {number.name for number in paper.numbers() if number.kind == "result"}
    before = read(options.out)
    after = {name: keep(ours, experiment) for name, ours in measured(experiment).items() if name in results}
    if not after:
        raise BadInput(f"{options.runs}: no run gives a number yet; make train-nin1")
    shorter = {} if options.replace else {n: new for n, new in after.items() if _is_less(n, new, before.get(n))}
    after = {name: new for name, new in after.items() if name not in shorter}
    merged = {**before, **after}
    with whole_file(options.out) as file:
        ordered = {number.name: asdict(merged[number.name]) for number in paper.numbers() if number.name in merged}
        json.dump(ordered, file, indent=2, ensure_ascii=False)
        file.write("\n")
    _keep_kmeans(experiment, options.out.with_name(kmeans.NAME))
    _keep_exploration(experiment, options.out.with_name(outcome.NAME), options.replace)
    _keep_methods(options.runs / "ensemble" / "methods.json", options.out.with_name("methods.json"))
    _keep_trainings(experiment, options.out.with_name(trainings.NAME), options.replace)
    for name, kept in after.items():
        old = f" (was {before[name].value})" if name in before and before[name].value != kept.value else ""
        print(f"{name}: {kept.value}{old}")
    for name, new in shorter.items():
        print(f"{name}: {_told(new)} is left out, {_told(before[name])} stays (--replace)")
    print(f"-> {options.out}; README's table: make report-table")


def _told(kept: Kept) -> str:
    epochs = "" if kept.epochs is None else f" of {kept.epochs:g} epochs"
    return f"{kept.value}{epochs}"


def price(text: str) -> float | None:
    """Dollars an hour, as an option gives them."""
    try:
        dollars = float(text) if text else None
    except ValueError:
        dollars = -1.0
    if dollars is not None and not 0 <= dollars < 1e6:
        raise argparse.ArgumentTypeError(f"PRICE={text}: give dollars an hour, such as PRICE=2.5")
    return dollars


def _keep_kmeans(experiment: Experiment, out: Path) -> None:
    """The rows of this run; those of other clusters and seeds stay."""
    rows = kmeans_rows(experiment)
    if rows:
        kept = {(row.clusters, row.seed): row for row in [*kmeans.read(out), *rows]}
        kmeans.write(out, list(kept.values()))


def _keep_exploration(experiment: Experiment, out: Path, replace: bool) -> None:
    """The first pass, unless the one that is kept tried more or for longer."""
    found = explored(experiment)
    if found is None:
        return
    before = outcome.load(out)
    if before and not replace and _epochs(before) > _epochs(found):
        print(f"{out}: {_epochs(before)} epochs of tries stay, beside {_epochs(found)} of this one (--replace)")
    else:
        outcome.write(out, found)


def _epochs(found: outcome.Exploration) -> int:
    return sum(one.epochs for one in found.outcomes)


def _keep_methods(found: Path, out: Path) -> None:
    """The comparison of ways to ensemble, as it is, where there is one."""
    if found.is_file():
        comparison_file.read(found)  # BadInput for one that is none
        with whole_file(out) as file:
            file.write(found.read_text(encoding="utf-8"))


def _keep_trainings(experiment: Experiment, out: Path, replace: bool) -> None:
    """The curves of every model that was tested, and the picture of all that are kept beside the report's points."""
    tested = [model for model in experiment.models if model.curves.series("accuracy") and model.epoch(1)]
    new = [*map(trainings.of, tested), *trainings.of_tries(experiment.runs / "explore")]
    merged = trainings.merge(trainings.read(out), new, replace)
    if not merged:
        return
    trainings.write(out, merged)
    picture = out.with_name("curves.svg")
    try:
        from report.figure import standalone
        from report.plots.training import beside_the_report
    except ModuleNotFoundError as error:
        print(f"report.kept: {picture} is not drawn, {error.name} is not installed", file=sys.stderr)
        return
    with whole_file(picture) as file:
        curves = {name: training.accuracy for name, training in merged.items()}
        file.write(standalone(beside_the_report(curves, "curves", in_epochs=True)))


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m report.kept", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=FILE, help="default: %(default)s")
    parser.add_argument("--replace", action="store_true", help="also by numbers of shorter trainings")
    parser.add_argument("--price", type=price, help="dollars an hour, for the cost: it is given, not measured")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except (BadInput, OSError) as error:
        return f"report.kept: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
