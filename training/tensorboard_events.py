"""A run's curves as a TensorBoard event file, runs/NAME/events.out.tfevents.*, kept while it trains.

Each start of a run writes the file anew from the log. A resumed run thus shows every iteration once, and a run
that trained without TensorBoard gets its past too. Only the library `tensorboard` is needed, not TensorFlow and
not PyTorch.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from training.curves import Curves, Displayed, Tested
from training.live_line import test_net_name
from training.training_set import TrainingSet

PATTERN = "events.out.tfevents.*"


class EventFile:
    """The event file of a run folder. Those of its earlier starts are removed.

    Args:
        folder: the run folder.
        images: the batch size that turns iterations a second into images a second.
        edits: journal.edits, for the text tab.

    Raises:
        ImportError: `tensorboard` is not installed.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, images: TrainingSet | None, edits: Iterable[tuple[int, dict[str, str]]] = ()):
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
        from tensorboard.plugins.text.metadata import create_summary_metadata
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary, self._tensor = event_pb2.Event, summary_pb2.Summary, tensor_pb2.TensorProto
        self._text_metadata = create_summary_metadata("", "")
        self._batch = images.batch if images else None
        self._displayed, self._tested, self._changes = -1, (-1, -1), 0
        for old in folder.glob(PATTERN):
            old.unlink(missing_ok=True)
        name = PATTERN.replace("*", f"{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}")
        self._records = RecordWriter((folder / name).open("wb"))
        self._write(self._event(wall_time=time.time(), file_version="brain.Event:2"))
        for iteration, fields in edits:
            if fields:
                self._text(iteration, "edits", "  \n".join(f"{field}: {change}" for field, change in fields.items()))
        self._records.flush()

    def add(self, curves: Curves, last: bool = False) -> None:
        """Write the points that the file does not have yet, except one whose lines are still coming.

        Args:
            last: no line is still coming. The file is closed.
        """
        for point in _newest(curves.displayed, lambda point: point.iteration > self._displayed):
            if point.lr is not None or last or point is not curves.displayed[-1]:
                self._write_displayed(point)
        for test in _newest(curves.tested, lambda test: (test.iteration, test.net) > self._tested):
            if test is not curves.testing or last:
                self._write_tested(test)
        for change in curves.rate_changes[self._changes :]:
            if change.by_hand:
                self._scalar(change.iteration, time.time(), "learning_rate/edited_by_hand", change.after)
        self._changes = len(curves.rate_changes)
        self._records.flush()
        if last:
            self._records.close()

    def give_up(self) -> None:
        """Close a file that can no longer be written."""
        with contextlib.suppress(OSError):
            self._records.close()

    def _write_displayed(self, point: Displayed) -> None:
        when = point.time.timestamp()
        self._scalar(point.iteration, when, "loss/train", point.loss)
        if point.lr is not None:
            self._scalar(point.iteration, when, "learning_rate/in_force", point.lr)
        if point.speed:
            kind = "images" if self._batch else "iterations"
            self._scalar(point.iteration, when, f"throughput/{kind}_per_second", point.speed * (self._batch or 1))
        self._displayed = point.iteration

    def _write_tested(self, test: Tested) -> None:
        for name, value in test.outputs.items():
            self._scalar(test.iteration, test.time.timestamp(), f"{name}/{test_net_name(test.net)}", value)
        self._tested = test.iteration, test.net

    def _scalar(self, iteration: int, when: float, tag: str, value: float) -> None:
        summary = self._summary(value=[self._summary.Value(tag=tag, simple_value=value)])
        self._write(self._event(step=iteration, wall_time=when, summary=summary))

    def _text(self, iteration: int, tag: str, text: str) -> None:
        tensor = self._tensor(dtype="DT_STRING", string_val=[text.encode()])
        value = self._summary.Value(tag=tag, metadata=self._text_metadata, tensor=tensor)
        self._write(self._event(step=iteration, wall_time=time.time(), summary=self._summary(value=[value])))

    def _write(self, event) -> None:
        self._records.write(event.SerializeToString())


def _newest(points: list, is_new) -> list:
    """The points at the end of a list that are new, in their order."""
    count = 0
    while count < len(points) and is_new(points[-1 - count]):
        count += 1
    return points[len(points) - count :]
