"""The lines of a training log, in glog's format. BVLC Caffe and our engine write the same words.

`event` makes an object of each line that reports something about the training, and None of all others.
"""

import re
from dataclasses import dataclass
from datetime import datetime

# Severity, date (newer glog puts the year before it), time, thread, source line, message.
PREFIX = re.compile(r"([IWEF])((?:\d{4})?\d{4}) (\d\d:\d\d:\d\d\.\d{6}) +\d+ [^\s\]]+:\d+\] (.*)")
# Caffe's environment. A user's own glog variables must not remove the lines that are read here.
ENVIRONMENT = {"GLOG_minloglevel": "0", "GLOG_log_prefix": "1", "GLOG_colorlogtostderr": "0"}
_NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan))"
_LOSS = re.compile(rf"Iteration (\d+)(?: \({_NUMBER} iter/s, {_NUMBER}s/\d+ iters\))?, loss = {_NUMBER}")
_RATE = re.compile(rf"Iteration (\d+), lr = {_NUMBER}")
_TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
_OUTPUT = re.compile(rf"    (Train|Test) net output #\d+: (\S+) = {_NUMBER}(?: .*)?")
_SNAPSHOT = re.compile(r"Snapshotting (?:solver state )?to (?:binary proto|HDF5) file (\S+)")
_RESUMING = re.compile(r"Resuming from \S*_iter_(\d+)\.solverstate\S*")
_WORKERS = re.compile(r"(\d+) workers train together, .*")
_SETTING = re.compile(rf'base_lr: {_NUMBER}|lr_policy: "(\w+)"')


@dataclass(frozen=True)
class Started:
    """The process starts. This is one of a run's first lines, with the settings that it names."""

    precision: str | None = None  # fp32, tf32 or bf16; only our engine logs it
    gpus: int | None = None  # the number of GPUs; 0 is the CPU
    workers: int | None = None  # each worker takes one batch an iteration


@dataclass(frozen=True)
class Setting:
    """One of these two fields, as Caffe logs the solver's text."""

    base_lr: float | None = None
    lr_policy: str | None = None


@dataclass(frozen=True)
class Resuming:
    """The run resumes from a snapshot."""

    iteration: int


@dataclass(frozen=True)
class Solving:
    """Nets and solver are made, and the iterations begin."""


@dataclass(frozen=True)
class Loss:
    """The displayed loss: the mean of the last average_loss iterations."""

    iteration: int
    loss: float
    speed: float | None  # iterations a second since the last display, None if the line has none


@dataclass(frozen=True)
class Rate:
    """The learning rate of an iteration; it follows the iteration's loss."""

    iteration: int
    lr: float


@dataclass(frozen=True)
class Testing:
    """A test net starts; its outputs follow when the test is complete."""

    iteration: int
    net: int


@dataclass(frozen=True)
class Output:
    """One output of a net: from the displayed batch (Train), or the mean of all test batches (Test)."""

    phase: str
    name: str
    value: float


@dataclass(frozen=True)
class Snapshotting:
    """A file of a snapshot is being written."""

    path: str


Event = Started | Setting | Resuming | Solving | Loss | Rate | Testing | Output | Snapshotting


def stamp(line: str, year: int) -> datetime | None:
    """The local time at which a line was written, None if it has no stamp. Glog's usual stamp has no year."""
    found = PREFIX.match(line)
    try:
        return datetime.strptime(f"{year}{found[2][-4:]} {found[3]}", "%Y%m%d %H:%M:%S.%f") if found else None
    except ValueError:
        return None


def event(line: str) -> Event | None:
    """The event that a line, without its line end, reports, or None."""
    prefix = PREFIX.fullmatch(line)
    if prefix is None:
        found = _SETTING.fullmatch(line)
        return Setting(float(found[1]) if found[1] else None, found[2]) if found else None
    message = prefix[4]
    if found := _LOSS.fullmatch(message):
        return Loss(int(found[1]), float(found[4]), float(found[2]) if found[2] else None)
    if found := _RATE.fullmatch(message):
        return Rate(int(found[1]), float(found[2]))
    if found := _OUTPUT.fullmatch(message):
        return Output(found[1], found[2], float(found[3]))
    if found := _TESTING.fullmatch(message):
        return Testing(int(found[1]), int(found[2]))
    if found := _SNAPSHOT.fullmatch(message):
        return Snapshotting(found[1])
    if found := _RESUMING.fullmatch(message):
        return Resuming(int(found[1]))
    if message.startswith("Solving "):
        return Solving()
    return _started(message)


def _started(message: str) -> Started | None:
    if message == "Use CPU." or message.startswith("No CUDA device is available"):
        return Started(gpus=0)
    if message.startswith("Using GPUs "):
        gpus = message.count(",") + 1
        return Started(gpus=gpus, workers=gpus)
    if found := _WORKERS.fullmatch(message):
        return Started(workers=int(found[1]))
    return Started(message.removeprefix("Precision: ")) if message.startswith("Precision: ") else None
