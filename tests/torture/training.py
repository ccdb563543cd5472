"""A small training by real `caffe train` processes that are started, killed and resumed, and its expected end.

The net draws crops, mirrors and dropout. The solver has momentum, averages the loss and drops the rate by "plateau".
If a snapshot forgets any of that, the last weights differ.
"""

import functools
import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

from tests.engine.command import make_experiment, start
from tests.torture.faults import Lost, expect
from training.snapshots import Snapshot, newest_whole

SOLVER = """
net: "net.prototxt"
type: "{type}"
test_iter: 3
test_interval: 40
base_lr: {rate}
{policy}
gamma: 0.5
momentum: 0.9
weight_decay: 0.001
display: 5
average_loss: 7
max_iter: {iterations}
snapshot: {every}
snapshot_prefix: "runs/run"
random_seed: {seed}
"""
PLATEAU = 'lr_policy: "plateau" plateau_winsize: 60 plateau_winsize: 90'
MULTISTEP = 'lr_policy: "multistep" stepvalue: 70 stepvalue: 400'  # real Caffe has no plateau
# Seconds. It ends what hangs; a machine that does much else at the time makes everything else slow.
PATIENCE = 900
RATES = {"SGD": 0.05, "Adam": 0.003}


class Training:
    """A training.

    Args:
        iterations: the last iteration.
        every: the number of iterations between snapshots.
        policy: the policy of the learning rate.
        folder: the folder to create, with the solver, its net and its LMDBs.
    """

    def __init__(
        self,
        iterations: int,
        every: int,
        seed: int = 11,
        type: str = "SGD",
        policy: str = PLATEAU,
        folder: str | Path = ".",
    ):
        self.folder, self.prefix = Path(folder), str(Path(folder, "runs/run"))
        self.iterations, self.every = iterations, every
        self._kind = (iterations, every, seed, type, policy)
        rate = RATES[type]
        self.solver = SOLVER.format(iterations=iterations, every=every, seed=seed, type=type, policy=policy, rate=rate)
        make_experiment(self.folder, self.solver)
        (self.folder / "runs").mkdir()

    def newest(self) -> Snapshot | None:
        """The newest whole snapshot, which `make resume` would take."""
        return newest_whole(self.prefix)[0]

    def start(self, anew: bool = False, **variables: str) -> subprocess.Popen:
        """`caffe train`, from the newest whole snapshot where there is one (not ``anew``), with environment variables."""
        newest = None if anew else self.newest()
        resume = [f"--snapshot={newest.state.relative_to(self.folder)}"] if newest else []
        return start(self.folder, "train", "--solver=solver.prototxt", *resume, patience=PATIENCE, **variables)

    def run_to_the_end(self) -> str:
        """Train or resume to max_iter and return the log."""
        process = self.start()
        log, _ = process.communicate()
        expect(process.returncode == 0, f"caffe train ended with {process.returncode}: {log[-500:]}")
        return log

    def check_end(self) -> None:
        """Check that the run has ended like one that was never disturbed."""
        expect(self.digest(self.iterations) == undisturbed(*self._kind), "the last weights are others")
        left = [path.name for path in (self.folder / "runs").iterdir() if path.name.startswith(".")]
        expect(not left, f"left behind: {left}")

    def digest(self, iteration: int) -> str:
        """The SHA-256 of an iteration's model and solver state."""
        snapshot = Snapshot(self.prefix, iteration)
        try:
            files = [path.read_bytes() for path in (snapshot.model, snapshot.state)]
        except OSError as error:
            raise Lost(f"{error.filename}: {error.strerror}") from None
        return hashlib.sha256(b"".join(files)).hexdigest()


@functools.cache
def undisturbed(iterations: int, every: int, seed: int, type: str, policy: str) -> str:
    """The last digest of an undisturbed training."""
    with tempfile.TemporaryDirectory() as folder:
        training = Training(iterations, every, seed, type, policy, folder)
        training.run_to_the_end()
        return training.digest(iterations)


def wait_for(process: subprocess.Popen, words: str) -> str:
    """Read the log until a line has the words (a regular expression); that line."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(words, line):
            return line
    raise Lost(f"the process ended with {process.wait()} before it said {words!r}: {''.join(lines[-8:])}")


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, and wait until it is gone."""
    process.kill()
    process.communicate()


def forget_ours(runs: Path) -> None:
    """Remove from the snapshots the files that real Caffe does not write."""
    for path in [*runs.glob("*.manifest.json"), *runs.glob("*.resume.json")]:
        path.unlink()
