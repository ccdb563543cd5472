"""SIGKILL at every step of a snapshot, and SIGKILL and SIGTERM at random moments of a training."""

import random
import re
import shutil
import signal
import time
from functools import partial
from pathlib import Path

from tests.torture.faults import Case, Fault, expect
from tests.torture.training import Training, forget_ours, kill, wait_for
from training.snapshots import Snapshot, fault

# The steps of a snapshot (engine/caffe/_files/whole_file.py). Four files are opened, half written, written and flushed
# to disk; then each is renamed and the folder flushed.
# A snapshot that replaces another first removes the other's state, and its manifest if it has one.
STEPS = 24
STEPS_IN_PLACE = {True: 26, False: 25}  # replacing our engine's snapshot, replacing real Caffe's
STATE_STANDS = 21  # the step after which the pair is there, if not yet its manifest


def at_steps(steps: list[int], type: str = "SGD") -> None:
    """Kill at one step after the other, each counted from its start; then resume from the remaining files."""
    training = Training(iterations=60, every=3, type=type)
    last = 0
    for step in steps:
        process = training.start(CAFFE_KILL_AT_STEP=str(step))
        log, _ = process.communicate()
        expect(process.returncode == -signal.SIGKILL, f"no kill at step {step}: {log[-500:]}")
        whole, rest = divmod(step, STEPS)
        last += training.every * (whole + (rest >= STATE_STANDS))
        newest = training.newest()
        found = newest.iteration if newest else 0
        expect(found == last, f"killed at step {step}: the newest whole snapshot is {found}, not {last}")
    training.run_to_the_end()
    training.check_end()


def at_steps_in_place(steps: list[int], manifests: bool) -> None:
    """Kill while a run overwrites an earlier one's snapshot: no pair ever mixes both, and other pairs stay."""
    old, new = Training(6, 3, seed=5), Training(3, 3, seed=6, folder="new")
    old.run_to_the_end()
    new.run_to_the_end()
    of_old, of_new = (old.digest(3), old.digest(6)), new.digest(3)
    if not manifests:
        forget_ours(Path("runs"))
    shutil.copytree("runs", "old")
    for step in steps:
        shutil.rmtree("runs")
        shutil.copytree("old", "runs")
        shutil.copy("new/solver.prototxt", "solver.prototxt")
        process = old.start(anew=True, CAFFE_KILL_AT_STEP=str(step))
        log, _ = process.communicate()
        expect(process.returncode == -signal.SIGKILL, f"no kill at step {step}: {log[-500:]}")
        expect(fault(Snapshot("runs/run", 6)) is None and old.digest(6) == of_old[1], f"step {step}: 6 is gone")
        if fault(Snapshot("runs/run", 3)) is None:
            expect(old.digest(3) in (of_old[0], of_new), f"killed at step {step}: a pair of two runs")


def at_random(seed: int, kills: int, type: str = "SGD") -> None:
    """Kill at random moments, most of them in the loop; then resume from the remaining files."""
    moments = random.Random(seed)
    training = Training(iterations=1000, every=25, type=type)
    last = 0
    for _ in range(kills):
        process = training.start()
        if moments.random() < 0.1:
            time.sleep(moments.uniform(0, 3))
        else:
            wait_for(process, "Starting Optimization")
            time.sleep(moments.uniform(0, 0.5))
        kill(process)
        newest = training.newest()
        found = newest.iteration if newest else 0
        expect(found >= last, f"the newest whole snapshot is {found}, it was {last}")
        last = found
    training.run_to_the_end()
    training.check_end()


def by_sigterm(seed: int, times: int, grace: bool) -> None:
    """SIGTERM at random moments, without grace followed at once by SIGKILL; then resume from the remaining files."""
    moments = random.Random(seed)
    training = Training(iterations=1000, every=400)
    last = 0
    for _ in range(times):
        process = training.start()
        wait_for(process, "Iteration")
        time.sleep(moments.uniform(0, 0.2))
        process.terminate()
        if not grace:
            time.sleep(moments.uniform(0, 0.03))
            process.kill()
        log, _ = process.communicate()
        newest = training.newest()
        found = newest.iteration if newest else 0
        expect(found >= last, f"the newest whole snapshot is {found}, it was {last}")
        if grace:
            written = re.findall(r"solver state to .*_iter_(\d+)", log)
            # There is none if the signal came during the test of an iteration that already had a snapshot.
            saved = found == int(written[-1]) if written else found == last
            expect(process.returncode == 0 and saved, f"no snapshot after SIGTERM: {log[-500:]}")
        last = found
    training.run_to_the_end()
    training.check_end()


def _chains(name: str, run: partial, steps: range, length: int) -> list[Case]:
    """Cases with equally many steps. Neighbouring steps are in different cases, so each case spans a whole snapshot."""
    count = -(-len(steps) // length)
    chains = [list(steps[start::count]) for start in range(count)]
    return [Case(f"{name} {', '.join(map(str, chain))}", partial(run, chain), len(chain)) for chain in chains]


FAULTS = [
    Fault("SIGKILL at a step of a snapshot", _chains("steps", partial(at_steps), range(1, 2 * STEPS + 1), 12)),
    Fault(
        "SIGKILL at a step, Adam",
        _chains("steps", partial(at_steps, type="Adam"), range(3, STEPS + 1, 4), 6),
    ),
    *(
        Fault(
            f"SIGKILL, a snapshot in the place of {whose}",
            _chains("steps", partial(at_steps_in_place, manifests=ours), range(1, STEPS_IN_PLACE[ours] + 1), 13),
        )
        for ours, whose in ((True, "another"), (False, "real Caffe's"))
    ),
    Fault(
        "SIGKILL at a random moment of a training",
        [Case(f"seed {seed}", partial(at_random, seed, 10, ("SGD", "Adam")[seed % 2]), 10) for seed in range(6)],
    ),
    Fault("SIGTERM", [Case(f"seed {seed}", partial(by_sigterm, seed, 5, grace=True), 5) for seed in range(2)]),
    Fault("SIGTERM, then SIGKILL", [Case("seed 7", partial(by_sigterm, 7, 8, grace=False), 8)]),
]
