"""The terminal's view of a training: one live line, and above it the lines that stay.

    iteration 3000  epoch 3  train: loss 4.394  lr 0.01  val: accuracy 0.0812 (best)  loss 4.369
    snapshot runs/nin1/nin1_iter_4000.solverstate
    nin1  epoch 4.06/100  iteration 4060/100000  344 images/s  loss 4.405  lr 0.01  val accuracy 0.0812  7:50:12 left

Caffe's own lines go to the log. Only its warnings and errors are shown here, each once. Output that is not in
glog's format (a crash, a traceback) is shown unchanged.
"""

import time
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from training import caffe_log
from training.curves import Curves, Displayed, Tested
from training.terminal import RED, YELLOW, Terminal, duration
from training.training_set import TrainingSet

_SEVERITIES = {"W": ("warning", YELLOW), "E": ("error", RED), "F": ("error", RED)}
_OUTPUTS_TOGETHER_S = 0.3  # a test's lines come at once; after this time there are no more
_QUIET_S = 30  # a silence that is worth reporting, beyond three times the longest before


Part = tuple[str, str]  # label and value


class _Field(NamedTuple):
    keep: int  # in a narrow terminal, the field with the lowest value is dropped first
    wide: Part
    narrow: Part


class LiveLine:
    """The live line of one run of Caffe.

    Args:
        name: the solver's.
        max_iter: the last iteration of the training.
        images: the images of an epoch, None if unknown.
        clock: returns seconds.
    """

    def __init__(
        self,
        terminal: Terminal,
        name: str,
        max_iter: int,
        images: TrainingSet | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._terminal, self._name, self._max_iter, self._clock = terminal, name, max_iter, clock
        self._images = images
        self._state, self._since = "starting", clock()
        self._heard = clock()
        self._first: tuple[int, float] | None = None  # iteration and time of this run's first display
        self._last: tuple[int, float] | None = None
        self._gap = 0.0  # the longest silence between two displays
        self._speed: float | None = None
        self._slowed = False  # a test or a snapshot ran since the last display
        self._dump = False  # a prototxt of hundreds of lines follows
        self._test: Tested | None = None  # a test that is not shown yet
        self._warned: set[str] = set()

    def line(self, text: str, event: caffe_log.Event | None, curves: Curves) -> None:
        """Take in one of Caffe's lines and its event; `curves` has it already."""
        self._heard = self._clock()
        self._show(text)
        if self._test and not isinstance(event, caffe_log.Output):
            self._show_test(curves)
        match event:
            case caffe_log.Solving():
                self._enter("training")
            case caffe_log.Testing():
                self._slowed = True
                self._enter("testing")
            case caffe_log.Output(phase="Test"):
                self._test = curves.testing
            case caffe_log.Snapshotting(path=path):
                self._slowed = True
                if "solverstate" in path:
                    self._terminal.say(f"snapshot {path}")
            case caffe_log.Loss():
                self._displayed(event)

    def tick(self, curves: Curves) -> None:
        """Draw the line as it is now; call this about every second."""
        if self._test and self._clock() - self._heard > _OUTPUTS_TOGETHER_S:
            self._show_test(curves)
        self._terminal.draw(_fit(self._fields(curves), self._terminal.width))

    def say(self, text: str) -> None:
        """Put a line of the runner's own above the live one."""
        self._terminal.say(text)

    def stopping(self) -> None:
        """Caffe was asked to stop."""
        self._enter("stopping")

    def close(self, curves: Curves) -> None:
        """Caffe has ended: show the last results and remove the line."""
        if self._test:
            self._show_test(curves)
        self._terminal.clear()

    def _show(self, text: str) -> None:
        found = caffe_log.PREFIX.match(text)
        if found:
            self._dump = found[4].rstrip().endswith("parameters:")
            # Real Caffe repeats some of them for every image.
            if found[1] in _SEVERITIES and found[4] not in self._warned:
                self._warned.add(found[4])
                name, color = _SEVERITIES[found[1]]
                self._terminal.say(f"{name}: {found[4]}", color)  # the log has glog's prefix too
        elif text.strip() and not self._dump:
            self._terminal.say(text)

    def _show_test(self, curves: Curves) -> None:
        test, self._test = self._test, None
        shown = [f"iteration {test.iteration}"]
        if self._images and self._images.iterations:
            shown.append(f"epoch {curves.batches(test.iteration) / self._images.iterations:.4g}")
        before = [point for point in islice(reversed(curves.displayed), 9) if point.iteration <= test.iteration]
        shown += [f"train: loss {point.loss:.4g}" for point in before[:1]]
        shown += [f"lr {rate:g}" for rate in _rates(before)]
        for number, (name, value) in enumerate(test.outputs.items()):
            series = curves.series(name, test.net)
            best = name == "accuracy" and len(series) > 1 and value > max(other for _, other in series[:-1])
            shown.append(f"{'' if number else test_net_name(test.net) + ': '}{name} {value:.4g}{' (best)' * best}")
        self._terminal.say("  ".join(shown))
        if self._state == "testing":
            self._enter("training")

    def _displayed(self, loss: caffe_log.Loss) -> None:
        if self._last:
            self._gap = max(self._gap, self._heard - self._last[1])
        self._last = loss.iteration, self._heard
        self._first = self._first or self._last
        # Caffe counts a test's time as the iterations'.
        if loss.speed and not (self._slowed and self._speed):
            self._speed = loss.speed
        self._slowed = False
        self._enter("training")

    def _enter(self, state: str) -> None:
        if self._state not in ("stopping", state):
            self._state, self._since = state, self._clock()

    def _fields(self, curves: Curves) -> list[_Field]:
        words, left = self._state_words(), self._seconds_left()
        fields = [_Field(2, ("", words), ("", words))]
        iteration = curves.testing.iteration if curves.testing else curves.iteration
        if iteration or curves.displayed:
            if self._images and self._images.iterations:
                done = curves.batches(iteration)
                to_do = (self._max_iter - iteration) * curves.runs[-1].workers
                epoch, epochs = done / self._images.iterations, (done + to_do) / self._images.iterations
                fields.append(_Field(3, ("epoch", f"{epoch:.2f}/{epochs:.4g}"), ("ep", f"{epoch:.3g}")))
            fields.append(_Field(9, ("iteration", f"{iteration}/{self._max_iter}"), ("it", f"{iteration}")))
        if self._speed:
            each = self._speed * (self._images.batch * curves.runs[-1].workers if self._images else 1)
            number = f"{each:.0f}" if each >= 100 else f"{each:.2g}"
            long, short = ("images", "img") if self._images else ("iterations", "it")
            fields.append(_Field(4, ("", f"{number} {long}/s"), ("", f"{number} {short}/s")))
        for point in curves.displayed[-1:]:
            fields.append(_same(8, "loss", f"{point.loss:.4g}"))
        fields += [_same(7, "lr", f"{rate:g}") for rate in _rates(curves.displayed[:-3:-1])]
        for name, value in _scores(curves)[:1]:
            fields.append(_Field(6, (f"val {name}", f"{value:.4g}"), ("val", f"{value:.3g}")))
        return fields + ([] if left is None else [_same(5, "", f"{duration(left)} left")])

    def _state_words(self) -> str:
        if self._state != "training":
            return f"{self._state} {duration(self._clock() - self._since)}"
        silence = self._clock() - self._heard
        quiet = silence > _QUIET_S + 3 * self._gap
        return f"{self._name} silent for {duration(silence)}" if quiet else self._name

    def _seconds_left(self) -> float | None:
        """The remaining time by the mean speed of this run, with its tests and snapshots."""
        if self._first is None or self._last[0] <= self._first[0]:
            return None
        iterations, seconds = (last - first for first, last in zip(self._first, self._last, strict=True))
        return (self._max_iter - self._last[0]) * seconds / iterations - (self._clock() - self._last[1])


def test_net_name(net: int) -> str:
    """The name of a test net: the first one's data is the experiment's val."""
    return f"val{net or ''}"


def _scores(curves: Curves) -> list[tuple[str, float]]:
    """The newest accuracies of the first test net, by name."""
    newest = next((test for test in reversed(curves.tested) if test.net == 0), None)
    return [(name, value) for name, value in newest.outputs.items() if "acc" in name.lower()] if newest else []


def _rates(newest: list[Displayed]) -> list[float]:
    """The rate of the first of some displays. If its line is still to come, the second's; [] for none."""
    return [point.lr for point in newest[:2] if point.lr is not None][:1]


def _same(keep: int, label: str, value: str) -> _Field:
    return _Field(keep, (label, value), (label, value))


def _fit(fields: list[_Field], width: int) -> list[Part]:
    """The parts that fit in a width: the wide forms, or narrow ones with fewer fields."""
    shown, fields = [field.wide for field in fields], list(fields)
    while fields and len("  ".join(f"{label} {value}" if label else value for label, value in shown)) > width:
        shown = [field.narrow for field in fields]
        fields.remove(min(fields, key=lambda field: field.keep))
    return shown
