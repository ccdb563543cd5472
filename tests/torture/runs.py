"""`make train` with KEEP=2: its runner, its Caffe or both are killed, and `make resume` continues it."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.engine.command import environment
from tests.torture.faults import Case, Fault, expect
from tests.torture.places import REPOSITORY
from tests.torture.training import MULTISTEP, Training, wait_for
from training.snapshots import fault, snapshots


class Run(Training):
    """A training as the experiment runs it: solvers/small.prototxt, runs/, a journal."""

    def __init__(self, iterations: int, every: int):
        super().__init__(iterations, every, policy=MULTISTEP)
        os.mkdir("solvers")
        Path("solvers/small.prototxt").write_text(self.solver)
        Path("caffe").write_text(f'#!/bin/sh\nexec {sys.executable} -m caffe "$@"\n')
        Path("caffe").chmod(0o755)

    def make(self, verb: str) -> subprocess.Popen:
        """`make train-small KEEP=2` or `make resume-small KEEP=2`, in a session of its own."""
        command = [sys.executable, "-m", "training.run", verb, "small", "--caffe", "./caffe", "--keep", "2"]
        variables = environment()
        variables["PYTHONPATH"] += os.pathsep + str(REPOSITORY)
        out = subprocess.PIPE
        return subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, text=True, env=variables, start_new_session=True
        )

    def make_or_resume(self) -> subprocess.Popen:
        """Resume, or train anew if no snapshot is whole, as the runner advises."""
        if self.newest():
            return self.make("resume")
        for path in Path("runs").iterdir():
            path.unlink()
        return self.make("train")


def caffe_of(runner: subprocess.Popen) -> int:
    """The process id of a runner's Caffe."""
    (child,) = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    return int(child)


def lives(process: int) -> bool:
    """True while a process runs; a zombie has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def at_random(seed: int, kills: int) -> None:
    """Kill the runner, its Caffe or both at random moments."""
    moments = random.Random(seed)
    run = Run(iterations=1000, every=25)
    last = 0
    for number in range(kills):
        runner = run.make_or_resume()
        wait_for(runner, "Starting Optimization")
        caffe = caffe_of(runner)
        time.sleep(moments.uniform(0, 0.5))
        whom = ("both", "caffe", "runner")[number % 3]
        if whom != "caffe":
            runner.kill()
            runner.wait()
        if whom == "runner":
            time.sleep(moments.uniform(0, 0.2))
            second = run.make("resume")
            log, _ = second.communicate()
            refused = second.returncode == 1 and "in use by another run" in log
            expect(refused or not lives(caffe), f"two at once: {log[-500:]}")
        while lives(caffe):
            with contextlib.suppress(ProcessLookupError):
                os.kill(caffe, signal.SIGKILL)
            time.sleep(0.01)
        runner.communicate()
        newest = run.newest()
        found = newest.iteration if newest else 0
        expect(found >= last, f"the newest whole snapshot is {found}, it was {last}")
        last = found
        for line in Path("runs/journal.jsonl").read_text().splitlines():
            json.loads(line)
    if last < run.iterations:
        runner = run.make_or_resume()
        log, _ = runner.communicate()
        expect(runner.returncode == 0, f"the runner ended with {runner.returncode}: {log[-500:]}")
    kept = snapshots(run.prefix)
    expect(2 <= len(kept) <= 3 and not any(map(fault, kept)), f"kept: {kept}")
    os.unlink("runs/.lock")  # the runner's own, which is no litter
    run.check_end()


FAULTS = [
    Fault(
        "SIGKILL of make train, its Caffe, or both",
        [Case(f"seed {seed}", partial(at_random, seed, 6), 6) for seed in range(2)],
    )
]
