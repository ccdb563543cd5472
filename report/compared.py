"""Trainings set side by side: runs/compared_<name>.json, with a verdict on the numbers by a rule.

    python -m report.compared plateau drops_seed4 plateau_seed4 --title "Plateau in place of the eye"

reads the logs and journals of runs/drops_seed4 and runs/plateau_seed4. It writes each run's accuracy on val by epoch,
each epoch's mean displayed loss, and every change of the rate. Seed, code, machine and time are written too.
`make report` shows the file, and `make results` keeps it in results/ if the runs were full ones.

The rule applies at every epoch at which two runs were tested on the same val images. The first is then ahead, behind,
or neither: "neither" if the 95 % interval of the difference contains 0. The interval is Newcombe's (1998), from both
Wilson intervals. It ignores that the val images are the same, so it is rather too wide than too narrow. With one seed
each, the rule distinguishes two trained nets, not two methods.
"""

import argparse
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness import commands, intervals, measurements
from harness.errors import UserError
from report import trainings
from report.experiment import Experiment, open_experiment
from report.trainings import Training

RUNS = Path("runs")


@dataclass(frozen=True)
class Compared:
    """Some trainings on one set of images."""

    name: str
    title: str
    note: str
    train_images: int
    val_images: int
    time: str
    runs: list[Training] = field(default_factory=list)

    def common_epochs(self) -> list[float]:
        """The epochs at which all were tested, the start left out."""
        tested = [{at for at, _ in run.accuracy if at > 0} for run in self.runs]
        return sorted(set.intersection(*tested))

    def difference(self, first: Training, second: Training, epoch: float) -> intervals.Interval:
        """The first's accuracy on val minus the second's at an epoch, with its 95 % interval."""
        at = (dict(run.accuracy)[epoch] for run in (first, second))
        one, other = (intervals.accuracy(round(value * self.val_images), self.val_images) for value in at)
        return intervals.difference(one, other)


def verdict(compared: Compared) -> list[str]:
    """The verdict on the numbers: a sentence for each run against the first, at the last epoch of both."""
    epochs, said = compared.common_epochs(), []
    if not epochs:
        return ["They were not tested at one same epoch yet."]
    first, last = compared.runs[0], epochs[-1]
    for run in compared.runs[1:]:
        found = compared.difference(run, first, last)
        words = f"{100 * found.value:+.2f} points (95 %: {100 * found.low:+.2f} to {100 * found.high:+.2f})"
        words = words.replace("-", "\N{MINUS SIGN}")
        where = "ahead of" if found.low > 0 else "behind" if found.high < 0 else "not to be told from"
        said.append(f"After {last:g} epoch{'s' * (last != 1)} {run.name} is {where} {first.name}: {words}.")
        ahead = [epoch for epoch in epochs if compared.difference(run, first, epoch).low > 0]
        behind = [epoch for epoch in epochs if compared.difference(run, first, epoch).high < 0]
        if ahead or behind:
            said[-1] += f" Of {len(epochs)} common tests it is ahead in {len(ahead)} and behind in {len(behind)}."
    return said


def compare(experiment: Experiment, name: str, names: list[str], title: str, note: str) -> Compared:
    """Compare the runs of those names; UserError if one is missing, or the data are not known."""
    if experiment.build is None:
        raise UserError(f"{experiment.data}: no build.json, so it is not known what was trained on; `make lmdb`")
    models = {model.name: model for model in experiment.models}
    for missing in (each for each in names if each not in models):
        raise UserError(f"{experiment.runs / missing}: no run; those here: {', '.join(models) or 'none'}")
    tested = {each: experiment.tested(models[each]) for each in names}
    if len(set(tested.values())) > 1:
        said = ", ".join(f"{each} {images:,}" for each, images in tested.items())
        raise UserError(f"{name}: their tests average different val images ({said}), so they cannot be compared")
    records, now = experiment.build["records"], datetime.now(UTC).isoformat(timespec="seconds")
    runs = [trainings.of(models[each]) for each in names]
    return Compared(name, title, note, records["train"], tested[names[0]], now, runs)


def read(path: Path) -> Compared:
    """Read a file that this command wrote; UserError for one that is broken."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        runs = [Training.read(run) for run in fields.pop("runs")]
        if len(runs) < 2:
            raise ValueError("fewer than two runs")
        return Compared(**fields, runs=runs)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: not what report.compared writes ({error!r}); make it again, or restore it from git"
        ) from error


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m report.compared", description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="of the comparison: runs/compared_<name>.json")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the others are set beside the first")
    parser.add_argument("--title", required=True)
    parser.add_argument("--note", default="", help="what a reader must know")
    parser.add_argument("--out", type=Path, default=RUNS, metavar="DIR", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        if len(set(options.runs)) < max(2, len(options.runs)):
            raise UserError("name two runs or more, each once")
        if not re.fullmatch(r"\w+", options.name):
            raise UserError(f"{options.name!r}: a name of letters, digits and _ is wanted")
        path = options.out / f"compared_{options.name}.json"
        measurements.check_place(path)
        experiment = open_experiment(RUNS, Path("data/lmdb"))
        found = compare(experiment, options.name, options.runs, options.title, options.note)
        measurements.write(path, asdict(found))
    except (UserError, OSError) as error:
        return f"report.compared: {error}"
    print("\n".join([*verdict(found), f"-> {path}"]))
    return None


if __name__ == "__main__":
    commands.run(main)
