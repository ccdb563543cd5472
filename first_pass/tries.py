"""One try: a model at a learning rate, with its own solver and net in the exploration's folder."""

import itertools
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from harness import provenance
from harness.errors import UserError
from harness.files import whole_file
from training import fit_test_iter, journal
from training.edits import changes
from training.snapshots import newest_whole, snapshots
from training.solver_file import check_net, parse, parse_solver, read, solver_path
from training.training_set import test_set, training_set

FOLDER = Path("runs/explore")
_DISPLAYS = 4  # the fewest displays an epoch, as the rule looks at tenths of a run
# The fields of a schedule, cleared because a try has one rate.
_SCHEDULE = ("gamma", "power", "stepsize", "stepvalue", "plateau_winsize")


@dataclass(frozen=True)
class Try:
    """A model at a rate. Its paths are relative to the exploration's folder."""

    model: str
    rate: float
    dropout: float | None  # replaces the net's own ratio; None keeps it
    epoch: int  # iterations an epoch
    until: int  # last iteration

    @property
    def name(self) -> str:
        return f"{self.model}-{self.rate:g}" + ("" if self.dropout is None else f"-dropout{self.dropout:g}")

    @property
    def solver_file(self) -> Path:
        return Path("solvers", f"{self.name}.prototxt")

    @property
    def net_file(self) -> Path:
        return Path("models", self.name, "train_val.prototxt")

    @property
    def run(self) -> Path:
        return Path("runs", self.name)

    @property
    def prefix(self) -> str:
        return str(self.run / self.name)

    def __str__(self) -> str:
        return f"{self.model} at {self.rate:g}" + ("" if self.dropout is None else f", dropout {self.dropout:g}")

    def reached(self) -> int:
        """The iteration of its newest whole snapshot, 0 if there is none."""
        newest, _ = newest_whole(self.prefix)
        return newest.iteration if newest else 0

    def remove_broken(self) -> None:
        """Remove the remains of an interrupted first snapshot, from which nothing can resume."""
        for snapshot in snapshots(self.prefix):
            snapshot.remove()


@dataclass(frozen=True)
class Planned:
    """A try with its future solver and net."""

    one: Try
    solver: object  # SolverParameter
    net: str


def plan(models: Sequence[str], rates: Sequence[float], dropouts: Sequence[float | None], epochs: int) -> list[Planned]:
    """All tries, from the folder that holds solvers/. Raises UserError if a model, its net or its data is missing."""
    planned = [_plan(*each, epochs) for each in itertools.product(models, rates, dropouts)]
    names = Counter(each.one.name for each in planned)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(f"two tries are called {twice[0]}: a rate or dropout is told by six digits, so give them apart")
    return planned


def prepare(planned: Sequence[Planned]) -> None:
    """Write the tries' files into the exploration's folder. Raises UserError if a try began with other settings."""
    for each in planned:  # all are checked before anything is written
        _check_begun(each.one, each.solver, each.net)
    for each in planned:
        header = f"# A try of make explore: {each.one}.\n"
        _write(FOLDER / each.one.solver_file, header + text_format.MessageToString(each.solver))
        _write(FOLDER / each.one.net_file, each.net)
    _link_data()


def _plan(model: str, rate: float, dropout: float | None, epochs: int) -> Planned:
    path = solver_path(model)
    solver = parse_solver(read(path), path)
    check_net(solver)
    images = training_set(solver)
    if images is None or not images.iterations:
        raise UserError(f"{solver.net}: does not tell how many images an epoch has; explore wants an LMDB")
    epoch = max(1, round(images.iterations))
    one = Try(model, rate, dropout, epoch, epochs * epoch)
    net = read(Path(solver.net))
    if dropout is not None:
        net = _with_dropout(net, dropout, Path(solver.net))
    tests = test_set(solver)
    for field in _SCHEDULE:
        solver.ClearField(field)
    solver.net, solver.snapshot_prefix = str(one.net_file), one.prefix
    solver.base_lr, solver.lr_policy = rate, "fixed"
    solver.max_iter, solver.test_interval, solver.snapshot = one.until, epoch, max(1, epoch // 2)
    if tests and tests.iterations:
        solver.test_iter[:] = [fit_test_iter.batches(tests)]
    solver.display = solver.average_loss = min(solver.display or epoch, max(1, epoch // _DISPLAYS))
    return Planned(one, solver, net)


def _with_dropout(text: str, ratio: float, path: Path) -> str:
    net = parse(text, caffe_pb2.NetParameter(), path)
    layers = [layer for layer in net.layer if layer.type == "Dropout"]
    if not layers:
        raise UserError(f"{path}: has no Dropout layer, so DROPOUTS= says nothing about it")
    for layer in layers:
        layer.dropout_param.dropout_ratio = ratio
    return text_format.MessageToString(net)


def _check_begun(one: Try, solver, net: str) -> None:
    """Raise UserError if a try began with other settings or other images."""
    folder = FOLDER / one.run
    if not snapshots(str(FOLDER / one.prefix)):
        return
    again = f"remove {folder} to begin it again, or take the setting back"
    path = FOLDER / one.solver_file
    if not path.is_file() or not (FOLDER / one.net_file).is_file():
        raise UserError(f"{folder}: its solver or net is gone; {again}")
    before = parse_solver(read(path), path)
    before.max_iter = solver.max_iter
    if edited := changes(before, solver):
        told = ", ".join(f"{field}: {change}" for field, change in edited.items())
        raise UserError(f"{folder}: was begun with other settings ({told}); {again}")
    if read(FOLDER / one.net_file) != net:
        raise UserError(f"{folder}: was begun with another net than {one.model}'s is now; {again}")
    trained_on = {run["data"] for run in journal.read(folder) if run.get("data")}
    here = provenance.data(_seen_from_here(solver, one))
    if here and trained_on and trained_on != {here}:
        raise UserError(f"{folder}: was begun on other images than data/lmdb has; {again}")


def _seen_from_here(solver, one: Try):
    """The solver with its net's path relative to the folder of solvers/."""
    found = caffe_pb2.SolverParameter()
    found.CopyFrom(solver)
    found.net = str(FOLDER / one.net_file)
    return found


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_bytes() != text.encode():
        with whole_file(path) as file:
            file.write(text)


def _link_data() -> None:
    """Link data/ in the exploration's folder to data/ here, as the nets' paths are relative to that folder."""
    link = FOLDER / "data"
    target = os.path.relpath(Path("data").absolute(), FOLDER.absolute())
    if link.is_symlink() and os.readlink(link) == target:
        return
    if link.exists() and not link.is_symlink():
        raise UserError(f"{link}: is no link to data/; move it away")
    beside = FOLDER / ".data.link"
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)


def parse_rates(text: str, name: str, least: float, most: float) -> list[float]:
    """Numbers as typed, each once. Raises UserError for a word that is no number or out of bounds."""
    values = []
    for word in text.replace(",", " ").split():
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise UserError(f'{name}="{text}": {word} is no number from {least:g} to {most:g}')
        values.append(value)
    if not values:
        raise UserError(f'{name}="{text}": no number; as {name}="0.01 0.001"')
    return list(dict.fromkeys(values))
