"""The reproduction's own folder: solvers, nets and data as in the repository, and its runs."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import provenance
from harness.errors import UserError
from harness.files import whole_file
from reproduce import schedule
from reproduce.schedule import Schedule
from training import journal
from training.snapshots import newest_whole
from training.solver_file import parse_solver, read

NETS = ("train_val.prototxt", "deploy.prototxt")
DATA = Path("data/lmdb")
RUNS = Path("runs")


@dataclass(frozen=True)
class Place:
    """A reproduction: its folder, its length, and each model's schedule at that length.

    Programs work in `folder`: the paths in a solver and in a snapshot are relative to it.
    """

    root: Path  # the starting folder: the repository, or a folder laid out like it
    folder: Path
    length: float
    schedules: dict[str, Schedule]

    def enter(self) -> None:
        os.chdir(self.folder)


def folder_of(length: float) -> Path:
    """The folder's name: reproduction, or for example rehearsal-0.1."""
    return Path("reproduction") if length == 1 else Path(f"rehearsal-{length:g}")


def solver_file(model: str) -> Path:
    return Path("solvers", f"{model}.prototxt")


def run_of(model: str) -> Path:
    return RUNS / model


def prefix(model: str) -> str:
    """The prefix of a model's snapshots."""
    path = solver_file(model)
    return parse_solver(read(path), path).snapshot_prefix


def reached(prefix: str) -> int:
    """The iteration of the newest whole snapshot, 0 if there is none."""
    newest, _ = newest_whole(prefix)
    return newest.iteration if newest else 0


def plan(folder: Path, length: float, models: list[str]) -> Place:
    """The planned reproduction. Raises UserError for a model that has no schedule or no solver here."""
    schedules = schedule.read()
    for model in models:
        if model not in schedules:
            raise UserError(f"{model}: has no schedule; reproduce/{schedule.FILE} has {', '.join(schedules)}")
    chosen = {model: of.scaled(length) for model, of in schedules.items() if not models or model in models}
    for model in chosen:
        if not solver_file(model).is_file():
            raise UserError(f"{solver_file(model)}: no such solver, but reproduce/{schedule.FILE} names it")
    return Place(Path.cwd(), folder.absolute(), length, chosen)


def make(place: Place, data: Path) -> None:
    """Make the folder or its missing parts. Existing files stay, as the runs were made with them.

    Args:
        data: the LMDBs of `make lmdb` to train on. They need not exist yet.

    Raises:
        UserError: the folder is of another length, or its runs used other images than `data`.
    """
    for model in place.schedules:
        source, file = place.root / solver_file(model), place.folder / solver_file(model)
        if not file.exists():
            with whole_file(file) as opened:
                opened.write(schedule.scaled_solver(read(source), place.length, source))
        found = schedule.length_of(read(file))
        if found != place.length:
            raise UserError(f"{file}: of length {found:g}, not {place.length:g}; take another folder: WORK=…")
        for net in NETS:
            copied = Path("models", model, net)
            if not (place.root / copied).is_file():
                raise UserError(f"{copied}: no such net; render it: make models")
            if not (place.folder / copied).exists():
                (place.folder / copied).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place.root / copied, place.folder / copied)
    _link(place.folder / DATA, data)
    _check_images(place, data)


def _link(link: Path, data: Path) -> None:
    target = os.path.relpath(data.resolve(), link.parent.resolve())
    if link.is_symlink() and os.readlink(link) == target:
        return
    if link.exists() and not link.is_symlink():
        raise UserError(f"{link}: is no link to the data; move it away")
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(".lmdb.link")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)


def _check_images(place: Place, data: Path) -> None:
    """Raise UserError if a run was trained on other images, by the mean in its journal."""
    mean = data / "mean.binaryproto"
    here = provenance.digest_of_mean(mean) if mean.is_file() else None
    for model in place.schedules:
        folder = place.folder / run_of(model)
        for entry in journal.read(folder):
            if here and entry.get("data") not in (None, here):
                raise UserError(
                    f"{folder}: was trained on other images than {data} holds; name its own with DATA=…, or take "
                    "another folder with WORK=…"
                )
