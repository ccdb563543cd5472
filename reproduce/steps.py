"""The steps of the reproduction, in order: each with its command, its needs, and its output files."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.dataset import DEFAULT_ZIP, find
from ensemble.scoring import views
from ensemble.scoring.score_file import load, score_path
from first_pass import kmeans, outcome
from first_pass.tries import FOLDER
from harness import provenance
from harness.errors import UserError
from report.full_runs import TRAIN_IMAGES
from reproduce.place import DATA, RUNS, Place, prefix, reached, run_of, solver_file
from reproduce.speed import Speeds, Time
from training.snapshots import newest_whole, snapshots
from training.solver_file import parse_solver, read

VIEW = "10crop"
METHODS, SUBMISSION = RUNS / "ensemble" / "methods.json", RUNS / "ensemble" / "submission.txt"
TRAIN_SAMPLE = 10_000  # train images for the accuracy on train; a rehearsal takes a part of them


@dataclass(frozen=True)
class Door:
    """The steps' access to Caffe, and the values of Make's KEEP, HOLDOUT and so on."""

    caffe: str = "caffe"
    keep: str = ""
    deterministic: bool = False
    data: Path = DATA  # absolute path
    holdout: int | None = None  # None takes existing LMDBs as they are
    seed: int | None = None


@dataclass(frozen=True)
class Step:
    """One step: a module of ours with its arguments, run in `folder`."""

    name: str
    command: list[str]
    folder: Path
    done: Callable[[], bool]
    needs: tuple[str, ...] = ()
    package: str | None = None  # a package without which it cannot run
    left: Callable[[], Time | None] = lambda: None  # measured time of its remaining work
    told: Callable[[], str] = field(default=lambda: "")  # its progress
    after: tuple[str, ...] = ()  # steps that it reports on: it waits for them, but runs even if they fail
    takes_gpu: bool = False

    def command_on(self, device: str) -> list[str]:
        """The command on one device, a value of caffe's --gpu. Training over several would be another experiment."""
        return [*self.command, "--gpu", device] if self.takes_gpu else self.command

    def words(self, device: str) -> list[str]:
        return [sys.executable, "-m", *self.command_on(device)]

    @property
    def lacks(self) -> str | None:
        """The missing package that it needs, otherwise None."""
        return self.package if self.package and importlib.util.find_spec(self.package) is None else None


def steps(place: Place, door: Door, speeds: Speeds) -> list[Step]:
    """All steps of a reproduction. Those of a model are together, so that a trained model is scored at once."""
    models = list(place.schedules)
    found = [*_data(place, door), _kmeans(place, door), *_explore(place, door)]
    for model in models:
        found += [_train(place, door, speeds, model), _scores(place, door, speeds, model)]
        found.append(_view(place, door, speeds, model))
    found += [
        _combine(place, models),
        *_methods(place, models),
        *_submission(place, door),
        *(_train_accuracy(place, door, speeds, model) for model in models),
        *_results(place, door, models),
    ]
    return found


def _data(place: Place, door: Door) -> Iterable[Step]:
    def images() -> bool:
        try:
            return find(place.root / DEFAULT_ZIP).exists()
        except UserError:
            return False

    def built() -> bool:
        return records(door.data) is not None

    if door.data != place.root / DATA:  # the user's own LMDBs, which the user makes
        return
    command = ["data_prep.dataset", "--out", str(DEFAULT_ZIP)]
    yield Step("data", command, place.root, lambda: built() or images())
    command = ["data_prep.build_lmdb", "--out", str(door.data)]
    for option, asked in (("--holdout", door.holdout), ("--seed", door.seed)):
        command += [] if asked is None else [option, str(asked)]
    yield Step("lmdb", command, place.root, built, ("data",))


def records(data: Path) -> dict[str, int] | None:
    """The records of each split of LMDBs that are whole; None otherwise."""
    try:
        counts = json.loads((data / "build.json").read_text(encoding="utf-8"))["records"]
        files = [data / f"{split}_lmdb" / "data.mdb" for split, count in counts.items() if count]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = all(path.is_file() for path in [*files, data / "mean.binaryproto", data / "labels.txt"])
    return {split: count for split, count in counts.items() if count} if whole and files else None


def check_built(door: Door) -> None:
    """Raise UserError if existing LMDBs were built with another holdout or seed than requested."""
    if records(door.data) is None:
        return  # still to be built with the requested options
    build = json.loads((door.data / "build.json").read_text(encoding="utf-8"))
    options = (("HOLDOUT", door.holdout, "holdout_per_class"), ("SEED", door.seed, "seed"))
    anew = " ".join(f"{option}={build.get(key, 0) if asked is None else asked}" for option, asked, key in options)
    for option, asked, key in options:
        if asked is not None and (built := build.get(key, 0)) != asked:
            raise UserError(
                f"{door.data}: was built with {option}={built}, not {option}={asked}; leave {option} out to take it as it "
                f"is, name other LMDBs with DATA=…, or build it anew: make lmdb {anew} REPLACE=1"
            )


def _kmeans(place: Place, door: Door) -> Step:
    mean = door.data / "mean.binaryproto"

    def done() -> bool:
        try:
            rows = kmeans.read(RUNS / kmeans.NAME)
            return any(row.data == provenance.digest_of_mean(mean) for row in rows)
        except (UserError, OSError):
            return False

    return Step("k-means", ["first_pass.kmeans"], place.folder, done, ("lmdb",), "sklearn")


def _explore(place: Place, door: Door) -> Iterable[Step]:
    """The first pass of a few epochs each. A rehearsal has none: whole epochs cannot be scaled."""
    if place.length != 1 or not {"alexnet1", "nin1"} <= place.schedules.keys():
        return

    def done() -> bool:
        try:
            return outcome.load(FOLDER / outcome.NAME) is not None
        except (UserError, OSError):
            return False

    yield Step("explore", ["first_pass.explore", "--caffe", door.caffe], place.folder, done, ("lmdb",), takes_gpu=True)


def _train(place: Place, door: Door, speeds: Speeds, model: str) -> Step:
    until = place.schedules[model].until
    options = ["--caffe", door.caffe, "--keep", door.keep]
    options += ["--deterministic"] if door.deterministic else []

    def at() -> int:
        try:
            return reached(prefix(model))
        except (UserError, OSError):  # no folder yet
            return 0

    def left() -> Time | None:
        time = speeds.iteration(model)
        return time and time.of(max(0, until - at()))

    command = ["reproduce.training", model, *options]
    return Step(f"train {model}", command, place.folder, lambda: at() >= until, ("lmdb",), None, left,
                lambda: f"iteration {at()} of {until}", takes_gpu=True)  # fmt: skip


def _scores(place: Place, door: Door, speeds: Speeds, model: str) -> Step:
    # If there are no LMDBs yet, take the splits that make lmdb will make.
    there = records(door.data) or ("val", "test", *(["holdout"] if door.holdout else []))
    splits = [split for split in ("val", "test", "holdout") if split in there]

    def done() -> bool:
        digest = _newest_digest(model)
        return digest is not None and all(_scored(model, split, door.data) == digest for split in splits)

    def left() -> Time | None:
        time = speeds.image(model)
        return time and time.of(sum((records(door.data) or {}).get(split, 0) for split in splits))

    command = ["ensemble.scoring.scores", model, "--split", *splits]
    return Step(f"scores {model}", command, place.folder, done, (f"train {model}",), None, left, takes_gpu=True)


def _view(place: Place, door: Door, speeds: Speeds, model: str) -> Step:
    """Ten crops of each image, as in the report's section 6, for splits whose labels can show the gain."""
    splits = [split for split in ("val", "holdout") if split in (records(door.data) or ("val",))]

    def done() -> bool:
        digest = _newest_digest(model)
        return digest is not None and all(_scored(model, split, door.data, VIEW) == digest for split in splits)

    def left() -> Time | None:
        time = speeds.image(model)
        return time and time.of(10 * sum((records(door.data) or {}).get(split, 0) for split in splits))

    command = ["ensemble.scoring.scores", model, "--view", VIEW, "--split", *splits]
    return Step(f"{VIEW} {model}", command, place.folder, done, (f"scores {model}",), None, left, takes_gpu=True)


def _newest_digest(model: str) -> str | None:
    """SHA-256 of the newest whole snapshot's weights."""
    try:
        newest, _ = newest_whole(prefix(model))
    except (UserError, OSError):
        return None
    return hashlib.sha256(newest.model.read_bytes()).hexdigest() if newest else None


def _scored(model: str, split: str, data: Path, view: str = views.CENTER) -> str | None:
    """SHA-256 of the snapshot that scored a split of `data`."""
    try:
        return load(RUNS, model, split, view, data).snapshot_sha256
    except UserError:
        return None


def _combine(place: Place, models: list[str]) -> Step:
    folder = RUNS / "ensemble"
    made = [folder / name for name in ("best.json", "combinations.csv", "ensemble.md")]
    of = [score_path(RUNS, model, "val") for model in models]
    needs = tuple(f"scores {model}" for model in models)
    return Step("ensembles", ["ensemble.combine", *models], place.folder, lambda: newer(made, of), needs)


def _methods(place: Place, models: list[str]) -> Iterable[Step]:
    """The ensembling methods that the report wished for; they combine at least two models."""
    if len(models) < 2:
        return
    of = [score_path(RUNS, model, "val") for model in models]
    needs = tuple(f"scores {model}" for model in models)
    yield Step("methods", ["ensemble.methods", *models], place.folder, lambda: newer([METHODS], of), needs, "sklearn")


def _submission(place: Place, door: Door) -> Iterable[Step]:
    if "test" not in (records(door.data) or ("test",)):
        return
    of = RUNS / "ensemble" / "best.json"
    yield Step("submission", ["ensemble.submission"], place.folder, lambda: newer([SUBMISSION], [of]), ("ensembles",))


def _train_accuracy(place: Place, door: Door, speeds: Speeds, model: str) -> Step:
    made = run_of(model) / "train_accuracy.csv"
    sample, until = max(100, round(TRAIN_SAMPLE * place.length)), place.schedules[model].until

    def weights() -> list[Path]:
        try:
            return [snapshot.model for snapshot in snapshots(prefix(model))]
        except (UserError, OSError):
            return []

    def left() -> Time | None:
        time = speeds.image(model)
        path = solver_file(model)
        every = parse_solver(read(path), path).snapshot or until
        return time and time.of(sample * -(-until // every))

    command = ["ensemble.scoring.train_accuracy", model, "--limit", str(sample)]
    name, needs = f"train accuracy {model}", (f"train {model}",)
    return Step(name, command, place.folder, lambda: newer([made], weights()), needs, None, left, takes_gpu=True)


def _results(place: Place, door: Door, models: list[str]) -> Iterable[Step]:
    """The page and the kept numbers, which also report on optional steps."""
    made, of = RUNS / "report.html", RUNS / "ensemble" / "best.json"
    kept_too = {"k-means": [RUNS / kmeans.NAME], "explore": [FOLDER / outcome.NAME], "methods": [METHODS]}
    views_of = {f"{VIEW} {model}": [score_path(RUNS, model, split, VIEW) for split in ("val", "holdout")]
                for model in models}  # fmt: skip
    shown_too = {**kept_too, "submission": [SUBMISSION], **views_of}
    curves = [run_of(model) / "train_accuracy.csv" for model in models]
    yield Step("page", ["report"], place.folder, lambda: newer([made], [of, *curves, *_there(shown_too)]),
               ("ensembles", *(f"train accuracy {model}" for model in models)), "matplotlib",
               after=tuple(shown_too))  # fmt: skip
    whole = records(door.data) or {}
    if place.length == 1 and whole.get("train", 0) + whole.get("holdout", 0) == TRAIN_IMAGES:
        # The results go into the repository. Numbers of a rehearsal or of a part of the images never go there.
        kept = place.root / "results/measured.json"
        command = ["report.save_results", "--out", str(kept)]
        yield Step("results", command, place.folder, lambda: newer([kept], [of, *_there(kept_too)]), ("ensembles",),
                   after=tuple(kept_too))  # fmt: skip


def _there(made: dict[str, list[Path]]) -> list[Path]:
    """The existing files among those that steps make."""
    return [path for paths in made.values() for path in paths if path.is_file()]


def newer(made: list[Path], of: list[Path]) -> bool:
    """True if all of `made` exist, and none is older than its sources, which must exist too."""
    try:
        return bool(of) and min(path.stat().st_mtime_ns for path in made) >= max(path.stat().st_mtime_ns for path in of)
    except OSError:
        return False
