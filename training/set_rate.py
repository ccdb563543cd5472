"""Drop a model's learning rate as the report did by hand: stop, edit, resume (section 4).

    python -m training.set_rate nin1 --lr=0.001                 (make lr-nin1 LR=0.001)

A run under way is stopped with a snapshot. Only base_lr in solvers/nin1.prototxt is edited. Every other byte stays.
The run then resumes here, from its newest whole snapshot. The journal records the change as an edit by hand.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np

from harness import commands
from harness.errors import UserError
from training import curves, run, running
from training import options as run_options
from training.check_values import check_values, is_rate
from training.snapshots import newest_whole
from training.solver_file import field_values, parse_solver, read, solver_path


def with_rate(text: str, rate: str, path: Path) -> str:
    """A solver's text with another base_lr and nothing else changed.

    Raises:
        UserError: the text has no base_lr, or none that can be edited alone.
    """
    found = field_values(text, "base_lr")
    if not found:
        raise UserError(f"{path}: has no base_lr; write one into it, then run this again")
    begin, end = found[-1].span("value")
    edited = text[:begin] + rate + text[end:]
    before, after = parse_solver(text, path), parse_solver(edited, path)
    before.base_lr = float(rate)
    if after != before:
        raise UserError(f"{path}: base_lr cannot be told from the rest; edit it by hand, then: make resume-{path.stem}")
    return edited


def parse_rate(text: str) -> float:
    """A learning rate as typed. Raises UserError if it is none."""
    if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan|-?inf", text):
        raise UserError(f"LR={text}: not a number; give a learning rate, such as LR=0.001")
    if not is_rate(float(text)) or text.startswith("+"):  # numbers in a prototxt have no plus
        raise UserError(f"LR={text}: a learning rate is a plain number above 0, such as LR=0.001")
    return float(text)


def _same(one: float, other: float) -> bool:
    return np.float32(one) == np.float32(other)  # the field has 32 bits


def set_rate(options: argparse.Namespace) -> int:
    """Stop, edit, resume, and return Caffe's exit code.

    Raises:
        UserError: the rate or the solver does not fit, or there is no snapshot to resume from. The solver file is then
            unchanged.
    """
    name, text = options.name, options.lr
    rate, path = parse_rate(text), solver_path(name)
    run_options.check("lr", options)
    solver = parse_solver(read(path), path)
    folder = Path(solver.snapshot_prefix).parent
    if _same(solver.base_lr, rate):
        raise UserError(f"{path}: base_lr is {solver.base_lr:.7g} already; to go on with it: make resume-{name}")
    if solver.lr_policy != "fixed":
        raise UserError(
            f'{path}: lr_policy "{solver.lr_policy}" computes the rate from base_lr and the iteration '
            f'(BVLC/caffe#2786); write lr_policy: "fixed" there, then run this again'
        )
    # Check first: a run must not stop for an impossible edit, or if it could not start again.
    edited = with_rate(_text(path), text, path)
    check_values(edited, parse_solver(edited, path), path)
    process = running.process(folder)
    if process is not None:
        stop(process, folder)
    check_snapshot(path, solver, folder)
    # Read the text again: the user may have edited it while the run was stopping.
    write(path, with_rate(_text(path), text, path))
    run.say(f"edited {path}: base_lr: {solver.base_lr:.7g} -> {text}")
    given = [f"--{word}={value}" for word in ("caffe", "gpu", "keep") if (value := getattr(options, word))]
    return run.main(["resume", name, *given, *(["--deterministic"] if options.deterministic else [])])


def stop(process: int, folder: Path) -> None:
    """Ask a run to stop with a snapshot, and wait until its folder is free."""
    run.say(f"asking process {process} to stop with a snapshot")
    with contextlib.suppress(ProcessLookupError):  # the process has just ended by itself
        os.kill(process, signal.SIGINT)
    begun = told = time.monotonic()
    while running.process(folder) is not None:
        time.sleep(0.2)
        if time.monotonic() - told > 30:
            told = time.monotonic()
            run.say(f"process {process} has been stopping for {told - begun:.0f} s")


def check_snapshot(path: Path, solver, folder: Path) -> None:
    """Raise UserError if the run could not resume at the point where it stopped."""
    untouched = f"{path} is as it was"
    snapshot, faults = newest_whole(solver.snapshot_prefix)
    for fault in faults:
        run.say(f"not whole: {fault}")
    if snapshot is None:
        raise UserError(f"{folder}: no whole snapshot to go on from; {untouched}; start with make train-{path.stem}")
    reached = curves.read(folder).iteration
    if snapshot.iteration < reached:
        raise UserError(
            f"{snapshot.state} is the newest whole snapshot, but training had reached iteration {reached}; {untouched}. "
            f"See the end of {folder / curves.LOG}; to go on from iteration {snapshot.iteration} all the same, edit "
            f"base_lr by hand, then: make resume-{path.stem}"
        )
    if snapshot.iteration >= solver.max_iter:
        raise UserError(f"{snapshot.state}: has reached max_iter {solver.max_iter}; {untouched}; raise max_iter first")


def _text(path: Path) -> str:
    return path.read_bytes().decode()  # keeps the line ends


def write(path: Path, text: str) -> None:
    """Replace a file's text, wholly or not at all."""
    path = path.resolve()
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    shutil.copymode(path, beside)
    beside.replace(path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.set_rate", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a solver: solvers/<name>.prototxt")
    parser.add_argument("--lr", required=True, help="the new base_lr")
    parser.add_argument("--caffe", default="", help="the caffe command")
    parser.add_argument("--gpu", default="", help="as caffe's own --gpu: 0, or 0,1, or all")
    parser.add_argument("--keep", default="", help="as training.run's")
    parser.add_argument("--deterministic", action="store_true", help="as training.run's")
    options = parser.parse_args(argv)
    options.precision, options.go_on = os.environ.get(run_options.PRECISION, ""), None
    try:
        return set_rate(options)
    except (UserError, OSError) as error:
        run.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        run.say("nothing was edited; a run that was asked to stop stops with a snapshot")
        return 130


if __name__ == "__main__":
    commands.run(main)
