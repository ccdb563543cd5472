"""Weights to start from: zoo/MODEL holds the files that replace a lost run folder, without momentum.

    python -m training.zoo keep nin1         (make zoo-nin1)            runs/nin1's newest whole snapshot into zoo/nin1
    python -m training.zoo start nin1 nin2   (make ensemble ZOO=1)      runs/nin1 from zoo/nin1, if there is no run
    python -m training.zoo resume nin1       (make resume-nin1 ZOO=1)   the same, with the base_lr of the zoo's run

zoo/MODEL has the caffemodel, a readme in the Model Zoo's form, the journal, and the log. The log has one displayed
loss a test interval. `start` copies them into the run folder and writes a solverstate beside the weights.
The iteration is kept and every momentum is 0. Scores, report and resume then work as for any run.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

from caffe.proto import caffe_pb2

from harness import commands
from harness.errors import UserError
from harness.files import whole_file
from harness.provenance import ROOT
from training import caffe_log, curves, journal
from training.run import locked, say
from training.set_rate import with_rate
from training.snapshots import Snapshot, newest_whole, read_model, snapshots
from training.solver_file import parse_solver, read, solver_path

ZOO = Path("zoo")
README = "readme.md"
_SHA1 = re.compile(r"^sha1: ([0-9a-f]{40})$", re.MULTILINE)


def weights(name: str) -> Snapshot | None:
    """The newest weights of a model in the zoo; None if there are none."""
    return next(iter(snapshots(str(ZOO / name / name))), None)


def start(name: str, resume: bool = False) -> bool:
    """Make a model's run folder from the zoo; False if it has snapshots or the zoo has no weights.

    Args:
        resume: set base_lr of the solver file to the rate at which the zoo's run stopped.

    Raises:
        UserError: another run holds the folder, or the weights are not those that the readme names.
    """
    path = solver_path(name)
    text = read(path)
    solver = parse_solver(text, path)
    folder, found = Path(solver.snapshot_prefix).parent, weights(name)
    if found is None or snapshots(solver.snapshot_prefix):
        return False
    digest = _checked_sha1(found)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for kept in (journal.FILE, curves.LOG):
            if (ZOO / name / kept).is_file() and not (folder / kept).exists():
                _copy(ZOO / name / kept, folder / kept)
        here = Snapshot(solver.snapshot_prefix, found.iteration)
        state = caffe_pb2.SolverState(iter=found.iteration, learned_net=os.path.relpath(here.model))
        for layer in read_model(found).layer:
            for blob in layer.blobs:
                state.history.add(shape=blob.shape, data=[0.0] * len(blob.data))
        _copy(found.model, here.model)
        journal.add(folder, event="zoo", iteration=found.iteration, weights=str(found.model), sha1=digest)
        # The state comes last: a folder without it has no snapshot to resume from.
        with whole_file(here.state, "wb") as file:
            file.write(state.SerializeToString())
    say(f"{here.model}: copied from {found.model}; its momentum starts at 0")
    runs = journal.read(folder)
    if resume and runs:
        rate = parse_solver(runs[-1]["solver"], folder / journal.FILE).base_lr
        if rate != solver.base_lr:
            with whole_file(path) as file:
                file.write(with_rate(text, f"{rate:g}", path))
            say(f"{path}: base_lr {solver.base_lr:g} -> {rate:g}, the rate of the zoo's run")
    return True


def _checked_sha1(found: Snapshot) -> str:
    readme = found.model.with_name(README)
    wanted = _SHA1.search(readme.read_text()) if readme.is_file() else None
    if wanted is None:
        raise UserError(f"{readme}: names no sha1 of the weights; restore it with: git checkout {readme}")
    digest = _sha1(found.model)
    if digest != wanted[1]:
        raise UserError(
            f"{found.model}: sha1 {digest}, but {readme} names {wanted[1]}; restore it with: git checkout {found.model}"
        )
    return digest


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, whole_file(target, "wb") as file:
        shutil.copyfileobj(content, file)


def keep(name: str) -> None:
    """Put the newest whole snapshot of a model's run into the zoo, in place of an older one.

    Raises:
        UserError: there is no whole snapshot, none with a test of val, or none newer than the zoo's.
    """
    path = solver_path(name)
    solver = parse_solver(read(path), path)
    folder = Path(solver.snapshot_prefix).parent
    newest, faults = newest_whole(solver.snapshot_prefix)
    for fault in faults:
        say(f"skipped: {fault}")
    if newest is None:
        raise UserError(f"{folder}: no whole snapshot to keep; train with: make train-{name}")
    before = weights(name)
    if before and before.iteration >= newest.iteration:
        raise UserError(f"{before.model}: the zoo has iteration {before.iteration} already; nothing is newer")
    told = curves.read(folder)
    tests = [test for test in told.tested if test.iteration <= newest.iteration and "accuracy" in test.outputs]
    if not tests:
        raise UserError(f"{folder / curves.LOG}: no accuracy on val up to iteration {newest.iteration}")
    target = ZOO / name
    target.mkdir(parents=True, exist_ok=True)
    kept = Snapshot(str(target / name), newest.iteration)
    _copy(newest.model, kept.model)
    with whole_file(target / curves.LOG) as file:
        file.writelines(_thinned((folder / curves.LOG).read_text(errors="replace"), solver.test_interval))
    with whole_file(target / journal.FILE) as file:
        file.writelines(_portable((folder / journal.FILE).read_text(errors="replace")))
    with whole_file(target / README) as file:
        file.write(_readme(name, solver, kept, tests[-1], told))
    if before:
        before.model.unlink()
    say(f"{kept.model}: iteration {newest.iteration}, {tests[-1].outputs['accuracy']:.2%} of val")


def _thinned(log: str, interval: int):
    """The lines of a log that the curves need, with one displayed loss for each `interval` iterations."""
    iteration = 0
    for line in log.splitlines():
        match caffe_log.event(line):
            case None:
                continue
            case caffe_log.Loss(iteration=iteration) | caffe_log.Rate(iteration=iteration) if iteration % interval:
                continue
            case caffe_log.Output(phase="Train") if iteration % interval:
                continue
        yield line + "\n"


def _portable(text: str):
    """A journal without this machine's folders; commands are relative to the repository."""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line cut by a crash
        if "command" in entry:
            words = (str(word) for word in entry["command"])
            entry["command"] = [
                os.path.relpath(word, ROOT) if word.startswith(f"{ROOT}{os.sep}") else word for word in words
            ]
        yield json.dumps(entry) + "\n"


def _readme(name: str, solver, kept: Snapshot, test: curves.Tested, told: curves.Curves) -> str:
    runs = journal.read(Path(solver.snapshot_prefix).parent)
    machines = list(dict.fromkeys(run["machine"] for run in runs if run.get("machine")))
    precisions = list(dict.fromkeys(run.precision or "fp32" for run in told.runs))
    rates = [f"{point.lr:g}" for point in told.displayed if point.lr is not None and point.iteration <= kept.iteration]
    epochs = kept.iteration / solver.test_interval
    all_epochs = solver.max_iter / solver.test_interval
    top5 = f", top-5 {test.outputs['accuracy_top5']:.4f}" if "accuracy_top5" in test.outputs else ""
    return f"""---
name: {name} on Tiny ImageNet
caffemodel: {kept.model.name}
license: for research and teaching, as Tiny ImageNet
sha1: {_sha1(kept.model)}
caffe_commit: caffe-on-pytorch {runs[-1].get("commit") or "unknown"}
---

`models/{name}/deploy.prototxt` with the weights of iteration {kept.iteration} ({epochs:.4g} of {all_epochs:g} epochs).
Accuracy on the 10,000 val images at iteration {test.iteration}: {test.outputs["accuracy"]:.4f}{top5}.

- Learning rates so far: {", ".join(dict.fromkeys(rates))}. Precision: {", ".join(precisions)}. Machine: {"; ".join(machines)}.
- Trained with `make train-{name}` and `make resume-{name}`; `journal.jsonl` has every start, `train.log` the tests.
- `make resume-{name} ZOO=1` goes on from here: iteration and rate are kept, the momentum starts anew.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.zoo", description=__doc__.split("\n")[0])
    parser.add_argument("verb", choices=("keep", "start", "resume"))
    parser.add_argument("names", nargs="+", metavar="name", help="a solver: solvers/<name>.prototxt")
    options = parser.parse_args(argv)
    try:
        for name in options.names:
            keep(name) if options.verb == "keep" else start(name, resume=options.verb == "resume")
    except (UserError, OSError) as error:
        print(f"training.zoo: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    commands.run(main)
