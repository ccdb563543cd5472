"""Save our numbers to results/measured.json, which is committed and outlives runs/.

    python -m report.save_results [--out results/measured.json] [--replace] [--price 0.5]        (make results)

measures the contents of runs/ and puts the numbers into the file. Numbers that are measured again are replaced, all
others stay. Nothing else writes into results/. Anything but a full run is refused, with the reason, file by file:

- a run on a part of Tiny ImageNet, or on drawings;
- a run on other images than those of data/lmdb;
- a run stopped before its solver's end (--allow short keeps it);
- a run by code that no commit holds (--allow changes keeps it).

A number of a longer training is not replaced by one of a shorter training, unless --replace is given. A rehearsal's
numbers are never kept. Beside the file lie kmeans.json, explore.json, trainings.json with curves.svg, and the files
of single commands (report/saved_files.py). Each number is stored with a note on its origin. The command, commit,
machine, data, seeds and times behind it are stored too.
"""

import argparse
import json
import re
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from first_pass import kmeans, outcome
from harness import commands
from harness.errors import UserError
from harness.files import whole_file
from report import full_runs, paper, saved_files, trainings
from report.experiment import Experiment, open_experiment
from report.measure.first_pass import explored, kmeans_rows
from report.measure.registry import MeasuredNumber
from report.measure_all import measure_all

FILE = Path("results/measured.json")
BEST = "best-single"  # the number for the best of all models ever trained


@dataclass(frozen=True)
class SavedNumber:
    """A number that was measured, and its origin."""

    value: str
    note: str
    command: str
    commit: str | None
    machine: str | None
    data: str | None
    seeds: list[int]
    hours: float  # hours of training or fitting
    time: str | None  # the end of its last run
    precision: str | None = None  # precision of the arithmetic: fp32, or several in the order of use
    epochs: float | None = None  # epochs of training, all its models together
    images: int | None = None  # number of images behind an accuracy or an error


def read(path: Path) -> dict[str, SavedNumber]:
    """Read the numbers by name in the report's order; empty without a file. UserError for a broken file."""
    if not path.is_file():
        return {}
    try:
        found = {name: SavedNumber(**fields) for name, fields in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not what `make results` writes ({error!r}); restore it from git") from error
    known = [number.name for number in paper.numbers()]
    if stranger := next((name for name in found if name not in known), None):
        raise UserError(f"{path}: {stranger} is no number of report/paper.toml")
    return {name: found[name] for name in known if name in found}


def keep(ours: MeasuredNumber, experiment: Experiment) -> SavedNumber:
    """A number with its origin, from its runs' journals or from the number itself."""
    if made := ours.made:
        hours = round(made.seconds / 3600, 3)
        behind = (made.command, made.commit, made.machine, made.data, list(made.seeds), hours, made.time)
        return SavedNumber(ours.value, ours.note, *behind)
    models = [model for model in experiment.models if model.name in ours.models]
    runs = [run for model in models for run in model.journal]
    verbs = [f"{verb}-{model.name}" for model in models for verb in ("train", "resume")[: len(model.journal)]]
    precisions = dict.fromkeys(point.run.precision or "fp32" for model in models for point in model.curves.displayed)
    epochs = [model.epoch(model.curves.iteration) for model in models]
    return SavedNumber(
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
        ours.images,
    )


def _is_less(name: str, new: SavedNumber, old: SavedNumber | None) -> bool:
    """True for a number of a shorter training than the saved one's, or of a worse best model."""
    if old is None:
        return False
    if name == BEST and _models(new) != _models(old):
        return float(new.value) < float(old.value)
    return None not in (new.epochs, old.epochs) and new.epochs < old.epochs


def _models(kept: SavedNumber) -> set[str]:
    return set(re.findall(r"(?:train|resume)-(\S+)", kept.command))


def _one(values) -> str | None:
    """The runs' different values, joined; None if no run has one."""
    said = list(dict.fromkeys(value for value in values if value))
    return "; ".join(said) or None


def _run(options: argparse.Namespace) -> None:
    experiment = open_experiment(options.runs, options.data)
    experiment.price = options.price
    rehearsed = [model.name for model in experiment.models if model.rehearsal]
    if rehearsed:
        raise UserError(f"{options.runs}: {', '.join(rehearsed)} were rehearsed at a part of their length; not kept")
    for problem in experiment.problems:
        print(f"report.save_results: {problem}", file=sys.stderr)
    of_data = full_runs.standing(full_runs.of_data(experiment), options.allow)
    numbers = [] if of_data else _keep_numbers(experiment, options)
    files = []
    for one in saved_files.candidates(experiment):
        reasons = of_data if of_data and one.of_images else saved_files.keep(one, options.out.parent, **_rules(options))
        if reasons:
            _refuse(one.path, reasons)
        else:
            files.append(options.out.with_name(one.target))
            print(f"{one.path} -> {files[-1]}")
    if of_data and not files:
        raise UserError(f"{'; '.join(map(str, of_data))}; not kept")
    if of_data:
        _refuse(options.runs, of_data)
    elif not numbers and not files:
        raise UserError(f"{options.runs}: nothing of a full run to keep; make train-nin1 trains one")


def _rules(options: argparse.Namespace) -> dict:
    return {"allowed": options.allow, "replace": options.replace}


def _refuse(path: Path, reasons: list[full_runs.Reason]) -> None:
    print(f"report.save_results: {path}: not kept: {'; '.join(map(str, reasons))}", file=sys.stderr)


def _of_full_runs(experiment: Experiment, allowed: list[str]) -> Experiment:
    """The experiment with its full runs alone; prints a reason for each of the others."""
    whole = []
    for model in experiment.models:
        if reasons := full_runs.standing(full_runs.of_training(model, experiment, model.reached), allowed):
            _refuse(model.folder, reasons)
        else:
            whole.append(model)
    return replace(experiment, models=whole)


def _keep_numbers(experiment: Experiment, options: argparse.Namespace) -> list[str]:
    """Measure the numbers of the full runs and keep them; returns the names of those measured."""
    trained = {model.name for model in experiment.models}
    experiment = _of_full_runs(experiment, options.allow)
    whole = {model.name for model in experiment.models}
    # The other kinds are read from committed files, or from the data itself.
    results = {number.name for number in paper.numbers() if number.kind == "result"}
    before = read(options.out)
    found = {name: ours for name, ours in measure_all(experiment).items() if name in results}
    after = {}
    for name, ours in found.items():
        reasons = full_runs.standing(full_runs.of_commits([ours.made.commit]) if ours.made else [], options.allow)
        if others := [model for model in ours.models if model not in whole]:
            said = "was refused above" if set(others) <= trained else "has no training here"
            reasons.append(full_runs.Reason(f"{', '.join(others)} {said}"))
        if reasons:
            print(f"report.save_results: {name}: not kept: {'; '.join(map(str, reasons))}", file=sys.stderr)
        else:
            after[name] = keep(ours, experiment)
    if not after:
        return []
    shorter = {} if options.replace else {n: new for n, new in after.items() if _is_less(n, new, before.get(n))}
    after = {name: new for name, new in after.items() if name not in shorter}
    merged = {**before, **after}
    with whole_file(options.out) as file:
        ordered = {number.name: asdict(merged[number.name]) for number in paper.numbers() if number.name in merged}
        json.dump(ordered, file, indent=2, ensure_ascii=False)
        file.write("\n")
    _keep_kmeans(experiment, options.out.with_name(kmeans.NAME), options.allow)
    _keep_exploration(experiment, options.out.with_name(outcome.NAME), **_rules(options))
    _keep_trainings(experiment, options.out.with_name(trainings.NAME), **_rules(options))
    for name, kept in after.items():
        old = f" (was {before[name].value})" if name in before and before[name].value != kept.value else ""
        print(f"{name}: {kept.value}{old}")
    for name, new in shorter.items():
        print(f"{name}: {_told(new)} is left out, {_told(before[name])} stays (--replace)")
    print(f"-> {options.out}; README's table: make report-table")
    return list(found)


def _told(kept: SavedNumber) -> str:
    epochs = "" if kept.epochs is None else f" of {kept.epochs:g} epochs"
    return f"{kept.value}{epochs}"


def allow(text: str) -> list[str]:
    """Parse the words of ALLOW=."""
    words = text.replace(",", " ").split()
    if wrong := [word for word in words if word not in full_runs.ALLOWED]:
        raise argparse.ArgumentTypeError(f"ALLOW={text}: {wrong[0]} is none of {', '.join(full_runs.ALLOWED)}")
    return words


def price(text: str) -> float | None:
    """Parse dollars an hour from an option."""
    try:
        dollars = float(text) if text else None
    except ValueError:
        dollars = -1.0
    if dollars is not None and not 0 <= dollars < 1e6:
        raise argparse.ArgumentTypeError(f"PRICE={text}: give dollars an hour, such as PRICE=2.5")
    return dollars


def _keep_kmeans(experiment: Experiment, out: Path, allowed: list[str]) -> None:
    """Save the rows of this run; those of other clusters and seeds stay."""
    rows = kmeans_rows(experiment)
    refused = {row.commit: full_runs.standing(full_runs.of_commits([row.commit]), allowed) for row in rows}
    for reasons in filter(None, refused.values()):
        _refuse(experiment.runs / kmeans.NAME, reasons)
    if rows := [row for row in rows if not refused[row.commit]]:
        kept = {(row.clusters, row.seed): row for row in [*kmeans.read(out), *rows]}
        kmeans.write(out, list(kept.values()))


def _keep_exploration(experiment: Experiment, out: Path, allowed: list[str], replace: bool) -> None:
    """Save the first pass, unless the saved one tried more or for longer."""
    found = explored(experiment)
    if found is None:
        return
    if reasons := full_runs.standing(full_runs.of_commits([found.commit]), allowed):
        return _refuse(experiment.runs / "explore" / outcome.NAME, reasons)
    before = outcome.load(out)
    if before and not replace and _epochs(before) > _epochs(found):
        print(f"{out}: {_epochs(before)} epochs of tries stay, beside {_epochs(found)} of this one (--replace)")
    else:
        outcome.write(out, found)


def _epochs(found: outcome.Exploration) -> int:
    return sum(one.epochs for one in found.outcomes)


def _keep_trainings(experiment: Experiment, out: Path, allowed: list[str], replace: bool) -> None:
    """Save the curves of every tested model, and draw all saved curves beside the report's points."""
    tested = [model for model in experiment.models if model.curves.series("accuracy") and model.epoch(1)]
    tries = trainings.of_tries(experiment.runs / "explore") if full_runs.SHORT in allowed else []
    new = [*map(trainings.of, tested), *tries]
    merged = trainings.merge(trainings.read(out), new, replace)
    if not merged:
        return
    trainings.write(out, merged)
    picture = out.with_name("curves.svg")
    try:
        from report.figure import standalone
        from report.plots.training import beside_the_report
    except ModuleNotFoundError as error:
        print(f"report.save_results: {picture} is not drawn, {error.name} is not installed", file=sys.stderr)
        return
    with whole_file(picture) as file:
        curves = {name: training.accuracy for name, training in merged.items()}
        file.write(standalone(beside_the_report(curves, "curves", in_epochs=True)))


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m report.save_results", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=FILE, help="default: %(default)s")
    parser.add_argument("--replace", action="store_true", help="also by numbers of shorter trainings")
    parser.add_argument("--allow", type=allow, default=[], metavar="WORDS", help="short: trainings that have not come to "
                        "their solver's end; changes: of code that no commit holds")  # fmt: skip
    parser.add_argument("--price", type=price, help="dollars an hour, for the cost: it is given, not measured")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except (UserError, OSError) as error:
        return f"report.save_results: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
