"""Train one model by its schedule, from the current state of its run to the end.

    python -m reproduce.training nin1 [--caffe CAFFE] [--gpu 0] [--keep 3]     in a reproduction's folder

A phase of the schedule ends at the solver's max_iter, with a snapshot. Then base_lr and max_iter are edited as a user
edits them, and the run resumes. The journal records it like an edit by hand. The snapshots show how far a
run is. Its journal shows the rates at which it was trained.
"""

import argparse
import os
from pathlib import Path

from harness import commands
from harness.errors import UserError
from harness.files import whole_file
from reproduce import schedule
from reproduce.place import reached
from reproduce.schedule import Schedule
from training import journal, run, running, set_rate
from training.edits import changes
from training.snapshots import snapshots
from training.solver_file import parse_solver, read, solver_path

STOPPED = 130


def own_schedule(model: str) -> Schedule:
    """The schedule of a model here, at the length of its solver."""
    schedules = schedule.read()
    if model not in schedules:
        raise UserError(f"{model}: has no schedule; reproduce/{schedule.FILE} has {', '.join(schedules)}")
    return schedules[model].scaled(schedule.length_of(read(solver_path(model))))


def check_history(model: str, folder: Path, plan: Schedule, now: int) -> None:
    """Raise UserError if the journal shows that a run, now at iteration `now`, left the schedule."""
    entries = journal.read(folder)
    for entry, went_to in zip(entries, [*(after["iteration"] for after in entries[1:]), now]):
        solver = parse_solver(entry.get("solver", ""), Path(f"{entry['where']}, solver"))
        begin = entry["iteration"]
        phase = plan.at(begin)
        if phase is None or went_to > phase.end:
            wrong = f"from iteration {begin} on it went to {went_to} with base_lr {solver.base_lr:.7g}"
        elif solver.lr_policy != "fixed" or not schedule.same_rate(solver.base_lr, phase.rate):
            wrong = f"from iteration {begin} on base_lr was {solver.base_lr:.7g}, not {phase.rate:g}"
        else:
            continue
        raise UserError(
            f"{folder}: was not trained by the schedule: {wrong} ({entry['where']}); "
            f"move that folder away, and {model} is trained anew"
        )


def train(model: str, options: list[str]) -> int:
    """Train to the schedule's end. Returns 0 there, STOPPED after a stop request, otherwise Caffe's exit code."""
    plan, path = own_schedule(model), solver_path(model)
    solver = parse_solver(read(path), path)
    folder = Path(solver.snapshot_prefix).parent
    parent = os.getppid()
    while (left := running.process(folder)) is not None:
        run.say(f"{folder}: process {left} still trains here, of a reproduction that was killed")
        set_rate.stop(left, folder)
    check_history(model, folder, plan, reached(solver.snapshot_prefix))
    while (phase := plan.at(begin := reached(solver.snapshot_prefix))) is not None:
        if not begin:
            _remove_broken(solver.snapshot_prefix)
        _edit(path, phase)
        status = run.main(["resume" if begin else "train", model, "--go-on=the same make reproduce", *options])
        if status:
            return status
        # If the reproduction was killed, another may continue, so this process begins no phase without its parent.
        if reached(solver.snapshot_prefix) < phase.end or os.getppid() != parent:
            return STOPPED
    return 0


def _remove_broken(prefix: str) -> None:
    """Remove the remains of an interrupted first snapshot, from which nothing can resume."""
    for snapshot in snapshots(prefix):
        run.say(f"removed: {snapshot.model} and what belongs to it are not whole")
        snapshot.remove()


def _edit(path: Path, phase: schedule.Phase) -> None:
    before = read(path)
    after = schedule.solver_of(before, phase, path)
    if after != before:
        with whole_file(path) as file:
            file.write(after)
        edited = changes(parse_solver(before, path), parse_solver(after, path))
        run.say(f"edited {path}: " + ", ".join(f"{field}: {change}" for field, change in edited.items()))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reproduce.training", description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a model of the schedule, with solvers/<model>.prototxt")
    parser.add_argument("--caffe", default=os.environ.get("CAFFE") or "caffe", help="the caffe command")
    parser.add_argument("--gpu", default="", help="a GPU's number; default: the CPU")
    parser.add_argument("--keep", default="", help="as training.run's")
    parser.add_argument("--deterministic", action="store_true", help="as training.run's")
    options = parser.parse_args(argv)
    given = [f"--{word}={value}" for word in ("caffe", "gpu", "keep") if (value := getattr(options, word))]
    given += ["--deterministic"] if options.deterministic else []
    try:
        if options.gpu and not options.gpu.isdecimal():
            raise UserError(
                f"--gpu {options.gpu}: over several GPUs an iteration has a batch of each, which is another experiment "
                "than the schedule's; name one, as --gpu 0"
            )
        return train(options.model, given)
    except (UserError, OSError) as error:
        run.say(f"error: {error}")
        return 1


if __name__ == "__main__":
    commands.run(main)
