"""The curves of a run: loss, learning rate and test results by iteration, over all its stops and resumes.

    curves = read(Path("runs/nin1"))
    [(point.iteration, point.loss, point.lr) for point in curves.displayed]
    curves.series("accuracy")        [(iteration, value), ...] of the first test net, which is val
    curves.rate_changes              every drop, with its cause: an edit by hand or the policy

Only this module turns a log into numbers. The live line, TensorBoard, `make status` and the report's page read them
here. A run that resumes from an older snapshot repeats its iterations. The later ones count, and each
iteration appears once.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from training import caffe_log, journal

LOG = "train.log"
_NO_PROBABILITY = 87.3365  # -log(FLT_MIN): SoftmaxWithLoss of a net that gives the right class a probability of 0
# Policies whose rate stays until it drops. The others move it at every iteration.
_IN_STEPS = ("fixed", "step", "multistep", "plateau")


def is_lost(loss: float) -> bool:
    """True if a loss is that of a diverged net."""
    return not math.isfinite(loss) or math.isclose(loss, _NO_PROBABILITY, abs_tol=1e-3)


@dataclass
class Run:
    """One start of Caffe on the folder."""

    iteration: int = 0  # first iteration
    base_lr: float | None = None
    lr_policy: str | None = None
    precision: str | None = None  # None if the log has none: real Caffe, which is fp32
    gpus: int | None = None  # 0 on the CPU
    workers: int = 1  # each takes a batch an iteration


@dataclass
class Displayed:
    """A displayed iteration."""

    iteration: int
    loss: float  # mean of the last average_loss iterations
    speed: float | None  # iterations a second since the last display; None if the log has none
    run: Run
    time: datetime  # local
    seconds: float  # training time up to here, over all runs and without the pauses between them
    lr: float | None = None  # None until the log has it, and for the loss after the last iteration
    outputs: dict[str, float] = field(default_factory=dict)  # outputs on this iteration's batch alone


@dataclass
class Tested:
    """A pass of a test net over its data, with the weights of an iteration."""

    iteration: int
    net: int  # 0 is the first test net
    run: Run
    time: datetime
    seconds: float
    # Such as {"accuracy": 0.25}. Caffe's Accuracy counts an image as right if its scores are not numbers. If
    # a net has diverged, its accuracy is nan here.
    outputs: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RateChange:
    """The learning rate is `after` from `iteration` on."""

    iteration: int
    before: float
    after: float
    by_hand: bool  # True for an edit of the solver, False for its policy


@dataclass
class Curves:
    """The contents of a log; `add` takes in each further line."""

    year: int  # year of the first line, as glog's stamps have none
    displayed: list[Displayed] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)
    rate_changes: list[RateChange] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    testing: Tested | None = None  # the test pass that is under way
    time: datetime | None = None  # time of the newest line
    seconds: float = 0.0
    _pause: bool = True
    _starting: bool = False  # a run has started, but its iterations have not

    @property
    def iteration(self) -> int:
        """The newest iteration that was displayed or tested; 0 before any."""
        newest = [points[-1].iteration for points in (self.displayed, self.tested) if points]
        return max(newest, default=0)

    def batches(self, iteration: int) -> int:
        """Batches trained on up to an iteration; each iteration takes one batch a worker."""
        count, end = 0, iteration
        for run in reversed(self.runs):
            count += max(0, end - run.iteration) * run.workers
            end = min(end, run.iteration)
        return count + end  # one batch an iteration before the log begins

    def series(self, output: str, net: int = 0) -> list[tuple[int, float]]:
        """(iteration, value) of one output of a test net, such as "accuracy" or "loss", where it is a number."""
        tests = (test for test in self.tested if test.net == net and output in test.outputs)
        return [(test.iteration, test.outputs[output]) for test in tests if not math.isnan(test.outputs[output])]

    def best(self, output: str = "accuracy", net: int = 0) -> tuple[int, float] | None:
        """(iteration, value) where an output of a test net was highest, None before the first test."""
        return max(self.series(output, net), key=lambda point: point[1], default=None)

    def add(self, line: str) -> caffe_log.Event | None:
        """Take in one line, without its end, and return its event."""
        event = caffe_log.event(line)
        if isinstance(event, caffe_log.Started) or (event and not self.runs):
            if not self._starting:
                self.runs.append(Run())
            self.testing, self._pause, self._starting = None, True, True
        self._clock(line)
        match event:
            case caffe_log.Started(precision=precision, gpus=gpus, workers=workers):
                run = self.runs[-1]
                run.precision = precision or run.precision
                run.gpus = run.gpus if gpus is None else gpus
                run.workers = workers or run.workers
            case caffe_log.Setting(base_lr=None, lr_policy=policy):
                self.runs[-1].lr_policy = policy
            case caffe_log.Setting(base_lr=rate):
                self.runs[-1].base_lr = rate
            case caffe_log.Resuming():
                self.runs[-1].iteration = event.iteration
            case caffe_log.Solving():
                self._starting = False
                self.forget(self.runs[-1].iteration)
            case caffe_log.Loss() if self.time:
                _cut(self.displayed, event.iteration)  # a resumed run displays the last loss again
                self.testing = None
                point = Displayed(event.iteration, event.loss, event.speed, self.runs[-1], self.time, self.seconds)
                self.displayed.append(point)
            case caffe_log.Rate() if self.displayed and self.displayed[-1].iteration == event.iteration:
                self._rate(event.lr)
            case caffe_log.Output(phase="Train") if self.displayed:
                self.displayed[-1].outputs[event.name] = event.value
            case caffe_log.Testing() if self.time:
                self.testing = Tested(event.iteration, event.net, self.runs[-1], self.time, self.seconds)
            case caffe_log.Output(phase="Test") if self.testing:
                self._test_output(event)
        return event

    def forget(self, iteration: int) -> None:
        """Drop the points that a run starting at an iteration will repeat."""
        for points in (self.displayed, self.tested, self.rate_changes):
            _cut(points, iteration)

    def _clock(self, line: str) -> None:
        time = caffe_log.stamp(line, self.year)
        if time is None:
            return
        if self.time and time.month < self.time.month:
            self.year += 1
            time = time.replace(year=self.year)
        if not self._pause:  # a clock that was set back (summer time ends) adds nothing
            self.seconds += max(0.0, (time - self.time).total_seconds())
        self.time, self._pause = time, False

    def _rate(self, lr: float) -> None:
        point = self.displayed[-1]
        point.lr = lr
        last = next((other for other in islice(reversed(self.displayed), 1, None) if other.lr is not None), None)
        if last is None:
            return
        edited = last.run.base_lr != point.run.base_lr
        if edited or (last.lr != lr and point.run.lr_policy in (None, *_IN_STEPS)):
            iteration = point.iteration if last.run is point.run else point.run.iteration
            self.rate_changes.append(RateChange(iteration, last.lr, lr, edited))

    def _test_output(self, event: caffe_log.Output) -> None:
        if not self.testing.outputs:
            self.tested.append(self.testing)
            self.testing.time, self.testing.seconds = self.time, self.seconds
        outputs = self.testing.outputs
        outputs[event.name] = event.value
        if any(map(is_lost, outputs.values())) or (self.displayed and is_lost(self.displayed[-1].loss)):
            outputs.update((name, math.nan) for name, value in outputs.items() if not is_lost(value))


def _cut(points: list, iteration: int) -> None:
    while points and points[-1].iteration >= iteration:
        points.pop()


def read(folder: Path) -> Curves:
    """The curves of a run folder; empty if there is no log yet."""
    path = folder / LOG
    if not path.is_file():
        return Curves(datetime.now().year)
    curves = Curves(_year(folder, path))
    with path.open(errors="replace", newline="\n") as file:
        for line in file:
            curves.add(line.rstrip("\r\n"))
    return curves


def _year(folder: Path, log: Path) -> int:
    """The year of a log's first line, from the journal, otherwise from the file's time."""
    runs = journal.read(folder)
    if runs:
        return datetime.fromisoformat(runs[0]["time"]).astimezone().year
    return datetime.fromtimestamp(log.stat().st_mtime).year
