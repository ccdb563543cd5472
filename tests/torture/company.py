"""Concurrent processes and long runs: two trainings of one prefix, five readers of an LMDB, 2,000 snapshots."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.engine.command import environment
from tests.torture.faults import Case, Fault, expect
from tests.torture.training import PATIENCE, Training, wait_for


def two_trainings() -> None:
    """The second is refused, and the first does not notice."""
    training = Training(iterations=3000, every=100)
    first = training.start()
    wait_for(first, "Starting Optimization")
    second = training.start(anew=True)
    log, _ = second.communicate()
    last = log.splitlines()[-1]
    told = f"Another process ({first.pid}) is training with snapshot_prefix 'runs/run'"
    expect(second.returncode == 1 and told in last, f"the second was not refused: {log[-500:]}")
    log, _ = first.communicate()
    expect(first.returncode == 0, f"the first ended with {first.returncode}: {log[-500:]}")
    training.check_end()


def five_readers() -> None:
    """Five trainings read one LMDB: all end alike, and it is as before."""
    trainings = [Training(iterations=300, every=100, folder=str(number)) for number in range(5)]
    shared = Path("0/train_lmdb")
    for training in trainings[1:]:
        shutil.rmtree(training.folder / "train_lmdb")
        (training.folder / "train_lmdb").symlink_to(shared.resolve())
    os.unlink(shared / "lock.mdb")  # its writer's
    before = hashlib.sha256((shared / "data.mdb").read_bytes()).digest()
    processes = [training.start() for training in trainings]
    for process, training in zip(processes, trainings, strict=True):
        log, _ = process.communicate()
        expect(process.returncode == 0, f"caffe train ended with {process.returncode}: {log[-500:]}")
        training.check_end()
    expect(os.listdir(shared) == ["data.mdb"], f"made beside the data: {os.listdir(shared)}")
    expect(hashlib.sha256((shared / "data.mdb").read_bytes()).digest() == before, "the LMDB has changed")


MANY = """
import os, sys
sys.path.insert(0, "")
import caffe

def state():
    kilobytes = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return f"{len(os.listdir('/proc/self/fd'))} handles, {kilobytes} kB"

caffe.init_log(2)
solver = caffe.get_solver("solver.prototxt")
for number in range(1, int(sys.argv[1]) + 1):
    solver.step(1)
    solver.snapshot()
    for name in os.listdir("runs"):
        if f"_iter_{number - 1}." in name:
            os.unlink(f"runs/{name}")
    if number in (int(sys.argv[1]) // 5, int(sys.argv[1])):
        print(f"after {number}: {state()}", flush=True)
"""


def many_snapshots(count: int) -> None:
    """A training that runs for days: no file stays open, and memory does not grow with the snapshots."""
    Training(iterations=10 * count, every=100_000)
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(count)], capture_output=True, text=True, env=environment(), timeout=PATIENCE
    )
    expect(done.returncode == 0, f"it failed: {done.stderr[-800:]}")
    first, last = re.findall(r"(\d+) handles, (\d+) kB", done.stdout)
    expect(int(last[0]) <= int(first[0]), f"file handles grew: {done.stdout}")
    # The allocator may take another piece; kept contents would be 5 kB a snapshot, 9 MB in all.
    expect(int(last[1]) - int(first[1]) < 4_000, f"memory grew: {done.stdout}")
    expect(len(os.listdir("runs")) == 4, f"left behind: {os.listdir('runs')}")


FAULTS = [
    Fault("two trainings at once", [Case("one prefix", two_trainings)]),
    Fault("an LMDB read by five processes", [Case("five trainings", five_readers, 5)]),
    Fault("2,000 snapshots, one after the other", [Case("of a small net", partial(many_snapshots, 2000), 2000)]),
]
