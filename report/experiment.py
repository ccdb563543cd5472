"""The contents of an experiment's folder: its solvers, runs, curves, scores and data.

Everything is read with the readers of training/ and ensemble/, and nothing is changed. For anything that cannot be
read, `problems` gets one line, and the rest is used.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from data_prep.drawing import DRAWING
from ensemble.rule import CLASSES
from ensemble.scoring.score_data import OtherData, check_records, identity, same
from ensemble.scoring.score_file import Scores, load, score_path
from ensemble.scoring.train_accuracy import Row
from ensemble.scoring.train_accuracy import read as read_train_accuracy
from harness.errors import UserError
from report import Missing
from report.combinations import Ensembles, read_ensembles
from report.predictions import Predictions, predictions
from training import curves, journal
from training.solver_file import REHEARSAL, parse_solver, read
from training.training_set import TrainingSet, test_set, training_set

RUNS = Path("runs")


@dataclass(eq=False)  # models are compared by identity, since they are keys of dictionaries
class Model:
    """One trained model: its run folder, and the solver of its last run."""

    name: str
    folder: Path
    solver_file: Path
    solver_text: str
    solver: object  # SolverParameter
    curves: curves.Curves
    journal: list[dict]
    set: TrainingSet | None  # the train set, which defines an epoch
    train_accuracy: list[Row] = field(default_factory=list)
    tested: int | None = None  # different val images that a test averages; None if the net does not define it

    @property
    def rehearsal(self) -> bool:
        """True for a rehearsal of a part of its length, which `make reproduce LENGTH=0.1` marks in the solver."""
        return self.solver_text.startswith(REHEARSAL)

    def epoch(self, iteration: int) -> float | None:
        """An iteration in epochs; None if the size of the train set is not known."""
        return self.curves.batches(iteration) / self.set.iterations if self.set and self.set.iterations else None

    @property
    def reached(self) -> int:
        """The iteration that the training reached, by its log or by the journal's last end."""
        end = self.journal[-1]["end"] if self.journal else None
        return max(self.curves.iteration, (end or {}).get("iteration") or 0)

    @property
    def hand_drops(self) -> list[curves.RateChange]:
        """The drops of the learning rate that a user made."""
        return [change for change in self.curves.rate_changes if change.by_hand and change.after < change.before]


@dataclass
class Experiment:
    """The folder that commands are started in: solvers/, models/, data/lmdb and runs/ there."""

    runs: Path
    data: Path
    models: list[Model] = field(default_factory=list)  # the trained ones, by name
    untrained: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unread: dict[tuple[str, str], str] = field(default_factory=dict)  # the reason why a score file is not shown
    price: float | None = None  # dollars an hour, if a user gave it

    @cached_property
    def build(self) -> dict | None:
        """The build that data/lmdb/build.json describes; None if there is none."""
        path = self.data / "build.json"
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not all(isinstance(found["records"][name], int) for name in ("train", "val", "test")):
                raise ValueError("records are not numbers")
            return {"source": found["source"], "seed": found["seed"], "records": found["records"],
                    "lists_sha256": dict(found["lists_sha256"])}  # fmt: skip
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.problems.append(f"{path}: not what `make lmdb` writes ({error!r}); make it again")
            return None

    @cached_property
    def classes(self) -> list[tuple[str, str]]:
        """(wnid, words) by label; Missing if there is no list."""
        path = self.data / "labels.txt"
        if not path.is_file():
            raise Missing(f"{path}: no list of the classes; `make lmdb` makes it")
        lines = (line.partition(" ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
        classes = [(wnid, words.strip() or wnid) for wnid, _, words in lines if wnid]
        if len(classes) != CLASSES:
            raise Missing(f"{path}: {len(classes)} classes, not {CLASSES}; `make lmdb` makes it")
        return classes

    def tested(self, model: Model) -> int | None:
        """The number of val images that a model's test averages; all of them if its net does not define it."""
        return model.tested or (self.build and self.build["records"]["val"])

    @cached_property
    def drawn(self) -> bool:
        """True for drawings of data_prep.sample, which marks the name of every class."""
        try:
            return all(words.startswith(DRAWING) for _, words in self.classes)
        except Missing:
            return False

    def class_name(self, label: int) -> str:
        """The first of a class's words, as "goldfish"."""
        return self.classes[label][1].split(",")[0]

    def scores(self, model: str, split: str) -> Scores | None:
        """A model's scores over a split; None if there are none, or if they cannot be read."""
        key = (model, split)
        if key not in self._scores:
            self._scores[key] = None
            if score_path(self.runs, model, split).is_file():
                try:
                    self._scores[key] = load(self.runs, model, split, data=self.data)
                except UserError as error:
                    self.unread[key] = str(error)
                    self.problem(str(error))
        return self._scores[key]

    @cached_property
    def _scores(self) -> dict[tuple[str, str], Scores | None]:
        return {}

    @cached_property
    def ensembles(self) -> Ensembles | None:
        """All combinations of the models; None if there are none, or if they cannot be read."""
        try:
            return read_ensembles(self.runs, self.data, self.problem)
        except UserError as error:
            if (self.runs / "ensemble" / "best.json").is_file():
                self.problem(str(error))
            return None

    def problem(self, line: str) -> None:
        """Record once that something is left out or cannot be read."""
        if line not in self.problems:
            self.problems.append(line)

    def current(self, kind: str, files: list[dict]) -> list[dict]:
        """The measurements of `make <kind>-MODEL` whose records data/lmdb still holds.

        Those that results/ keeps come from full runs elsewhere, and stay.
        """
        found = []
        for one in files:
            try:
                if not str(one.get("whence", "")).startswith("kept"):
                    name = f"{kind}_{one['model']}.json"
                    check_records(self.data, one.get("records"), Path(name), f"make {kind}-{one['model']}")
                found.append(one)
            except OtherData as error:
                self.problem(str(error))
        return found

    @cached_property
    def predictions(self) -> Predictions:
        """The predictions of the best combination on val, otherwise of the best single model; Missing without scores."""
        if self.ensembles:
            best = self.ensembles.table[0]
            first = self.ensembles.val[0]
            return predictions(" + ".join(best.models), "val", self.ensembles.total(best, self.ensembles.val),
                            first.labels, first.names)  # fmt: skip
        found = {name: scores for name in self.scored if (scores := self.scores(name, "val"))}
        labelled = {name: scores for name, scores in found.items() if scores.labels.min() >= 0}
        if not labelled:
            if unread := [reason for (_, split), reason in self.unread.items() if split == "val"]:
                raise Missing(unread[0])
            model = next((model.name for model in self.models), "nin1")
            raise Missing(f"No model has scores on val yet: make scores-{model}")
        name, scores = max(labelled.items(), key=lambda item: item[1].accuracy)
        return predictions(name, "val", scores.scores, scores.labels, scores.names)

    @property
    def scored(self) -> list[str]:
        """The names of the models that have scores on val."""
        return [path.parts[-3] for path in sorted(self.runs.glob("*/scores/val.npz"))]


def open_experiment(runs: Path, data: Path, solvers: Path = Path("solvers")) -> Experiment:
    """Read the runs. A solver without a log in its run folder is untrained; a lost solver is read from the journal."""
    found = Experiment(runs, data)
    files = {path.stem: path for path in sorted(solvers.glob("*.prototxt"))}
    trained = {path.parent.name for path in runs.glob(f"*/{curves.LOG}")}
    for name in sorted(files.keys() | trained):
        try:
            model = _model(name, runs, data, files.get(name), found.problems)
        except (UserError, OSError) as error:
            found.problems.append(str(error))
            continue
        except ValueError as error:  # an invalid time in the journal
            found.problems.append(f"{runs / name}: a journal or log that is not to be read: {error}")
            continue
        if model is None:
            found.untrained.append(name)
        else:
            found.models.append(model)
    return found


#: Fields of a run's start in the journal that the page needs.
_STARTED = {"time": str, "iteration": int, "command": list, "solver_file": str, "solver": str}


def _run_folder(name: str, runs: Path, file: Path | None) -> Path:
    """The run folder that a solver names; `runs` takes the place of its runs/."""
    if file is None:
        return runs / name
    said = Path(parse_solver(read(file), file).snapshot_prefix).parent
    return runs / said.relative_to(RUNS) if said.is_relative_to(RUNS) else said


def _model(name: str, runs: Path, data: Path, file: Path | None, problems: list[str]) -> Model | None:
    folder = _run_folder(name, runs, file)
    if not (folder / curves.LOG).is_file():
        return None
    entries = journal.read(folder)
    whole = [entry for entry in entries if all(isinstance(entry.get(key), kind) for key, kind in _STARTED.items())]
    if len(whole) < len(entries):
        problems.append(f"{folder / journal.FILE}: lines that do not tell a whole run")
    if whole:
        # The solver of the run counts, not later edits of the file.
        text, path, file = whole[-1]["solver"], folder / journal.FILE, Path(whole[-1]["solver_file"])
    elif file:
        text, path = read(file), file
    else:
        raise UserError(f"{folder}: a log without a journal and without solvers/{name}.prototxt; left out")
    try:
        here = identity(data, "train")
        rows = [row for row in read_train_accuracy(folder) if same(row.records, here)]
    except UserError as error:
        problems.append(str(error))
        rows = []
    solver = parse_solver(text, path)
    seen = curves.read(folder)
    return Model(name, folder, file, text, solver, seen, whole, training_set(solver), rows, _tested(solver))


def _tested(solver) -> int | None:
    """The number of different images of a test, whose batches may cover less or more than the set."""
    of = test_set(solver)
    if of is None or not solver.test_iter:
        return None
    return min(of.images or of.batch * solver.test_iter[0], of.batch * solver.test_iter[0])
