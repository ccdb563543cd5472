"""Train or resume a model, and keep the journal of its run folder.

    python -m training.run train nin1 [--caffe CAFFE] [--gpu 0] [--keep 3]
    python -m training.run resume nin1           from the newest snapshot that is whole
    python -m training.run journal nin1          the solver in force from each iteration on

Ctrl-C stops with a snapshot. The report's procedure (section 4) is to look at the loss every few hours. If it no
longer falls, stop, divide base_lr by 10 in solvers/nin1.prototxt, and resume.
"""

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import commands, provenance
from harness.errors import UserError
from training import caffe_log, caffe_process, curves, fit_test_iter, journal, watch
from training import options as run_options
from training.check_values import check_values, doubts
from training.committed import edited_since_commit
from training.edits import POLICY_FIELDS, changes, drops_of, without_effect
from training.options import PRECISION, own_command
from training.snapshots import Snapshot, newest_whole, snapshots
from training.solver_file import check_net, parse_solver, read, solver_path
from training.terminal import YELLOW, Terminal, is_terminal


def say(line: str, color: str = "") -> None:
    """Print a line; on a terminal, over the ^C of a Ctrl-C and with an optional color."""
    if is_terminal(2):
        Terminal(2).say(f"training.run: {line}", color)
    else:
        print(f"training.run: {line}", file=sys.stderr, flush=True)


def engine_version(caffe: str) -> str | None:
    """The first line of `caffe --version`, None if it fails or prints nothing."""
    answer = subprocess.run([caffe, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return next(iter((answer.stdout or answer.stderr).splitlines()), None) if answer.returncode == 0 else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the run folder's lock. Raises UserError if another run, or a Caffe it left behind, holds it."""
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip()
            how = f": Ctrl-C there, or kill -INT {holder}" if holder else ""
            raise UserError(
                f"{folder}: in use by another run, process {holder or 'unknown'}; stop it first{how}"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def no_snapshot(folder: Path, options: argparse.Namespace) -> UserError:
    """The error of a resume without a snapshot. It names the commands that start anew or from the zoo's weights."""
    name = options.name
    zoo = f"; or from the weights in zoo/{name}: make resume-{name} ZOO=1" if Path("zoo", name).is_dir() else ""
    return UserError(f"{folder}: no snapshot to resume from; start with: {own_command('train', options)}{zoo}")


def starting_point(options: argparse.Namespace, solver) -> Snapshot | None:
    """The snapshot to resume from, None to train from the start. Raises UserError if the verb does not fit."""
    folder = Path(solver.snapshot_prefix).parent
    found = snapshots(solver.snapshot_prefix)
    if options.verb == "train":
        if found:
            raise UserError(
                f"{folder}: has snapshots up to iteration {found[0].iteration}; go on with: "
                f"{own_command('resume', options)}; or remove the folder to start again"
            )
        return None
    snapshot, faults = newest_whole(solver.snapshot_prefix)
    for fault in faults:
        say(f"skipped: {fault}")
    if snapshot is None:
        if found:
            raise UserError(f"{folder}: no snapshot is whole; remove the folder, then: {own_command('train', options)}")
        raise no_snapshot(folder, options)
    if snapshot.iteration >= solver.max_iter:
        raise UserError(
            f"{snapshot.state}: has reached max_iter {solver.max_iter}; to go on, raise it in "
            f"{solver_path(options.name)}, then: {own_command('resume', options)}"
        )
    return snapshot


def say_edits(folder: Path, solver, snapshot: Snapshot) -> None:
    """Print the edits of the solver since the last run of this folder."""
    runs = journal.read(folder)
    if not runs:
        return
    before = parse_solver(runs[-1]["solver"], folder / journal.FILE)
    for field, change in changes(before, solver).items():
        say(f"edited: {field}: {change} from iteration {snapshot.iteration}")
    for line in without_effect(before, solver, snapshot.iteration, drops_of(snapshot.state)):
        say(f"note: {line}")


def say_uncommitted(path: Path, solver, options: argparse.Namespace) -> None:
    """Print the differences from the committed solver, such as a rate that was dropped in an earlier run."""
    edited = edited_since_commit(path, solver)
    if not edited or options.go_on:
        return
    say(f"note: this new run starts with {path} as edited, not as committed:", YELLOW)
    for field, change in edited.items():
        say(f"    {field}: {change}", YELLOW)
    say(
        f"    To train as committed instead: stop this run, remove {Path(solver.snapshot_prefix).parent}, then: "
        f"make reset-{options.name} && {own_command('train', options)}",
        YELLOW,
    )


def say_settings(folder: Path, options: argparse.Namespace) -> None:
    """Print one line if device, precision or determinism differ from the last run. No solver records these."""
    runs, logged = journal.read(folder), curves.read(folder).runs
    if not runs:
        return
    words = list(map(str, runs[-1].get("command", [])))
    log = logged[-1] if logged else curves.Run()
    gpu = next((word.partition("=")[2] for word in words if word.startswith("--gpu=")), "")
    if log.gpus == 0 and not options.gpu:
        gpu = ""  # the last run asked for a GPU, but there was none
    precision = os.environ.get(PRECISION) or "fp32"
    settings = {
        "device": [f"GPU {each}" if each else "the CPU" for each in (gpu, options.gpu)],
        "precision": [log.precision or precision, precision],  # real Caffe's log has no precision
        "deterministic": ["yes" if each else "no" for each in ("--deterministic" in words, options.deterministic)],
    }
    told = [f"{name} {before} -> {now}" for name, (before, now) in settings.items() if before != now]
    if told:
        say(f"unlike the run before: {', '.join(told)}")


def train(options: argparse.Namespace) -> int:
    """Train or resume, and return Caffe's exit code."""
    name, path = options.name, solver_path(options.name)
    run_options.check(options.verb, options)
    written = read(path)
    solver = edited = parse_solver(written, path)
    if solver.lr_policy not in POLICY_FIELDS:
        raise UserError(f"{path}: lr_policy {solver.lr_policy!r}; Caffe has {', '.join(POLICY_FIELDS)}")
    check_values(written, solver, path)
    check_net(solver)
    text, fits = fit_test_iter.fitted(written, path)
    solver = parse_solver(text, path)
    caffe = shutil.which(options.caffe)
    if caffe is None:
        raise UserError(f"{options.caffe}: no such command; make setup installs it, --caffe names another")
    folder = Path(solver.snapshot_prefix).parent
    if options.verb == "train":
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        raise no_snapshot(folder, options)
    with locked(folder) as lock:
        snapshot = starting_point(options, solver)
        start = snapshot.iteration if snapshot else 0
        if text == written:
            fit_test_iter.remove_copy(folder)
        read_by_caffe = path if text == written else fit_test_iter.write_copy(folder, text, path)
        command = [caffe, "train", f"--solver={read_by_caffe}"]
        if snapshot is None:
            say_uncommitted(path, edited, options)
        for line in doubts(solver):
            say(f"note: {path}: {line}", YELLOW)
        for line in fits:
            say(f"note: {line}")
        if snapshot:
            command.append(f"--snapshot={snapshot.state}")
            say_edits(folder, solver, snapshot)
            say_settings(folder, options)
        if options.gpu:
            command.append(f"--gpu={options.gpu}")
        if options.deterministic:
            command.append("--deterministic")
        version = engine_version(caffe)
        journal.add(
            folder,
            event="start",
            iteration=start,
            command=command,
            engine=version,
            solver_file=str(path),
            solver=text,
            **provenance.of_run(solver, options.gpu),
        )
        shown = [min(os.path.relpath(caffe), caffe, key=len) if os.path.isabs(caffe) else caffe, *command[1:]]
        say(f"{shlex.join(shown)}  (base_lr {solver.base_lr:.7g}; log: {folder / curves.LOG})")
        follower = watch.of_run(name, solver, folder, start, int(options.keep or 0))
        environment = os.environ | caffe_log.ENVIRONMENT
        if follower.keep:  # our engine checks that the disk can hold this number before it trains
            environment["CAFFE_SNAPSHOTS_KEPT"] = str(follower.keep.most_to_come())
        status = caffe_process.run(command, folder / curves.LOG, lock, follower, environment)
        newest, faults = newest_whole(solver.snapshot_prefix)
        end = newest.iteration if newest else None
        try:
            journal.add(folder, event="end", iteration=end, status=status)
        except OSError as error:
            say(f"the journal does not say that this run has ended: {error}")
    for fault in faults:
        say(f"not whole: {fault}")
    say_end(options, solver, newest, status, follower.fatal)
    return status


def say_end(options: argparse.Namespace, solver, newest: Snapshot | None, status: int, fatal: str = "") -> None:
    """Print two lines: the newest snapshot, and the command that continues.

    Args:
        fatal: Caffe's own words if it failed.
    """
    at_once = "caffe was ended at once, without a snapshot of its last iteration"
    endings = {0: "caffe ended", **dict.fromkeys(caffe_process.ENDED_AT_ONCE, at_once)}
    failed = f"caffe failed with status {status}{f': {fatal}' if fatal else ''}"
    ended, first = endings.get(status, failed), "" if status in endings else "that put right, "
    changed = {} if status in endings else run_options.blamed(fatal, options)
    if newest is None:
        say(f"{ended}; no snapshot in {Path(solver.snapshot_prefix).parent}")
        say(f"{first}start again with: {own_command('train', options, **changed)}")
    else:
        of = f"iteration {newest.iteration} of {solver.max_iter}"
        say(f"{ended}; the newest snapshot is {newest.state}, {of}")
        if newest.iteration < solver.max_iter:
            say(f"{first}go on with: {own_command('resume', options, **changed)}")
        elif not options.go_on:
            say(f"to go on, raise max_iter, then: {own_command('resume', options)}")


def show_journal(options: argparse.Namespace) -> int:
    path = solver_path(options.name)
    folder = Path(parse_solver(read(path), path).snapshot_prefix).parent
    runs = journal.read(folder)
    if not runs:
        raise UserError(f"{folder}: no run yet; start with make train-{options.name}")
    print(journal.told(runs))
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.run", description=__doc__.split("\n")[0])
    parser.add_argument("verb", choices=("train", "resume", "journal"))
    parser.add_argument("name", help="a solver: solvers/<name>.prototxt")
    parser.add_argument("--caffe", default=os.environ.get("CAFFE") or "caffe", help="the caffe command")
    parser.add_argument("--gpu", default="", help="as caffe's own --gpu: 0, or 0,1, or all")
    parser.add_argument("--keep", default="", metavar="N", help="keep the last N snapshots and the best, not all")
    parser.add_argument("--deterministic", action="store_true", help="our engine on a GPU: the same bits in every run")
    parser.add_argument("--go-on", help=argparse.SUPPRESS)  # the command that resumes a program which runs this one
    options = parser.parse_args(argv)
    options.precision = os.environ.get(PRECISION, "")
    try:
        return show_journal(options) if options.verb == "journal" else train(options)
    except (UserError, OSError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"stopped before caffe had started; to begin again: {own_command(options.verb, options)}")
        return commands.STOPPED


if __name__ == "__main__":
    commands.run(main)
