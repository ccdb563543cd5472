"""Reproduce the whole report in one command, from the point where the last call stopped.

    python -m reproduce [--length 0.1] [--gpu 0,1] [--jobs 3] [--minutes 60]   (make reproduce)
    python -m reproduce --status                                               (make reproduce-status)

The steps are images, LMDBs, the five models with the report's rate drops (schedule.toml), scores, and ensembles. The
judge's file, the page and results/ follow. A step whose output files exist is skipped. Ctrl-C and SIGTERM stop
with a snapshot. After a kill -9 the command resumes from the last one.
"""

import argparse
import math
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from first_pass.devices import devices
from harness import commands, provenance
from harness.errors import UserError
from reproduce import cost, images, place, status, steps
from reproduce.runner import Runner
from reproduce.speed import Speeds, precision
from training import run
from training.options import check_keep, check_precision

MARGIN_S = 45
"""The part of a time limit that trainings get to stop with a snapshot."""


def say(line: str) -> None:
    print(f"reproduce: {line}" if not line.startswith("====") else f"\n{line}", file=sys.stderr, flush=True)


def length_argument(text: str) -> float:
    try:
        length = float(text or 1)
    except ValueError:
        length = math.nan
    if not 0 < length <= 1:
        raise argparse.ArgumentTypeError(f"LENGTH={text}: give a part of the report's lengths, above 0 and up to 1")
    return length


def minutes_argument(text: str) -> float | None:
    try:
        minutes = float(text) if text else None
    except ValueError:
        minutes = math.nan
    if minutes is not None and not MARGIN_S < minutes * 60 < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a time limit is more than {MARGIN_S} s, in minutes, such as 9.5")
    return minutes


def number_argument(text: str) -> int:
    if text and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text or 1)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reproduce", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help="some of the schedule's; default: all")
    parser.add_argument("--status", action="store_true", help="say what is done and what is left, and do nothing")
    parser.add_argument(
        "--length", type=length_argument, default=1.0, metavar="PART", help="a rehearsal: all lengths times this"
    )
    parser.add_argument("--work", type=Path, help="default: reproduction, or rehearsal-<length>")
    parser.add_argument("--data", type=Path, default=place.DATA, help="LMDBs of make lmdb (default: %(default)s)")
    parser.add_argument("--caffe", default=os.environ.get("CAFFE") or "caffe", help="the caffe command")
    parser.add_argument("--gpu", default="", help="0, or 0,1, or all: each step on one of them; default: the CPU")
    parser.add_argument("--keep", default="", help="as training.run's")
    parser.add_argument("--deterministic", action="store_true", help="as training.run's")
    parser.add_argument("--holdout", type=commands.number, help="of make lmdb, where it makes them")
    parser.add_argument("--seed", type=commands.number, help="of make lmdb, where it makes them")
    parser.add_argument(
        "--partial",
        nargs="?",
        const=True,
        type=commands.switch,
        help="also on images that are not all of Tiny ImageNet, whose numbers are no reproduction",
    )
    parser.add_argument(
        "--jobs", type=number_argument, default=1, metavar="N", help="steps at once on each GPU, or on the CPU"
    )
    parser.add_argument("--leave-out", default="", metavar="STEPS", help="steps to pass over, as 'explore k-means'")
    parser.add_argument("--minutes", type=minutes_argument, help="stop with snapshots before so many have passed")
    return parser


def reproduce(options: argparse.Namespace) -> int:
    """Make the folder, then run the steps or print their status. Returns the exit code."""
    check_precision()
    check_keep(options.keep)
    places = devices(options.gpu, options.jobs)
    if options.data != place.DATA and not (options.data / "train_lmdb" / "data.mdb").is_file():
        raise UserError(f"{options.data}: no train_lmdb there; DATA=… names a folder that make lmdb made")
    caffe = shutil.which(options.caffe)
    if caffe is None:
        raise UserError(f"{options.caffe}: no such command; make setup installs it, --caffe names another")
    _absolute_environment()
    data = options.data.absolute()
    door = steps.Door(caffe=os.path.abspath(caffe), keep=options.keep, deterministic=options.deterministic,
                      data=data, holdout=options.holdout, seed=options.seed)  # fmt: skip
    steps.check_built(door)
    folder = options.work or place.folder_of(options.length)
    with ExitStack() as stack:
        if options.status and not folder.is_dir():
            say(f"{folder}: not begun; make reproduce begins it")
        where = place.plan(folder, options.length, options.models)
        refused = _names_data(options, data, where.root)
        calculated = cost.by_calculation(options.length)
        if options.status or refused:
            if not folder.is_dir():  # a temporary folder, so that nothing is left behind
                where = replace(where, folder=Path(stack.enter_context(tempfile.TemporaryDirectory())))
            working = status.at_work(folder)
            if working is None:
                place.make(where, data)
            stack.callback(os.chdir, where.root)
            where.enter()
            found = _steps(where, door, options, places)
            if refused:
                _say_time(found, calculated)
                raise UserError(refused)
            print(status.told(found, working))
            return 0
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(run.locked(folder))
        place.make(where, data)
        stack.callback(os.chdir, where.root)
        where.enter()
        found = _steps(where, door, options, places)
        _say_time(found, calculated)
        return _run(options, found, places, folder)


def _names_data(options: argparse.Namespace, data: Path, root: Path) -> str | None:
    """Print the data set. Returns the reason why a run on it is refused, otherwise None.

    The status is printed even if the data is missing.
    """
    try:
        found = images.images(data, root)
    except UserError as error:
        if not options.status:
            raise
        say(f"data: {error}")
        return None
    say(found.told())
    if options.status or found.whole or options.partial or options.length < 1:
        return None
    return (
        "trainings of full length on a part of Tiny ImageNet are no reproduction of the report. Give all of it with "
        "make data, or DATA=…; rehearse on these with LENGTH=0.01; or train on them all the same with PARTIAL=1"
    )


def _say_time(found: list[steps.Step], calculated: list[str]) -> None:
    """Print the remaining time as measured here. Without a measured training, print the calculation too."""
    unmeasured = any(step.name.startswith("train ") and not step.done() and step.left() is None for step in found)
    for line in [*(calculated if unmeasured else []), *status.time_left(found)]:
        say(f"time: {line}")


def _steps(where: place.Place, door: steps.Door, options: argparse.Namespace, places: list[str]) -> list[steps.Step]:
    """All steps except those left out. No other step waits for those."""
    found = steps.steps(where, door, Speeds(where, places[0]))
    left_out = set(options.leave_out.split())
    if strangers := left_out - {step.name for step in found} - {"explore", "methods"}:
        names = ", ".join(step.name for step in found if " " not in step.name)
        raise UserError(f"LEAVE_OUT: no step {min(strangers)}; those of one word are {names}")
    return [step for step in found if step.name not in left_out]


def _absolute_environment() -> None:
    """Make the environment's paths absolute, as the steps work in other folders."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, [str(provenance.ROOT), *paths]))
    if os.environ.get("TINY_IMAGENET"):
        os.environ["TINY_IMAGENET"] = os.path.abspath(os.environ["TINY_IMAGENET"])


def _run(options: argparse.Namespace, found: list[steps.Step], places: list[str], folder: Path) -> int:
    rehearsal = "" if options.length == 1 else f", a rehearsal of {options.length:g} of every length"
    gpus = ", ".join(filter(None, dict.fromkeys(places)))
    each = ", each step on one of them" if "," in gpus else ""
    say(f"in {folder}{rehearsal}; {precision()} on {f'GPU {gpus}{each}' if gpus else 'the CPU'}")
    print(status.told(found, None), file=sys.stderr)
    runner = Runner(found, say, places, options.minutes and options.minutes * 60 - MARGIN_S)
    ended = runner.run()
    reason = f"{runner.stopping}; " if runner.stopping else ""
    say(f"{reason}{runner}{'' if runner.done else '; the same command goes on'}")
    return ended


def main(argv: list[str] | None = None) -> int:
    options = arguments().parse_args(argv)
    try:
        return reproduce(options)
    except (UserError, OSError) as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    commands.run(main)
