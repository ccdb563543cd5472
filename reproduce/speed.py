"""Times of training and scoring, as measured: by this reproduction's own runs first, then by `make bench`.

Nothing is guessed: work that was never measured on this machine has no time.
"""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from caffe.proto import caffe_pb2

from harness import provenance
from harness.errors import UserError
from harness.measurements import BENCH, KEPT
from report.paper import family_of
from reproduce.place import Place, run_of, solver_file
from training import curves
from training.fit_test_iter import fitted
from training.solver_file import parse, parse_solver, read

BENCHES = ("bench_gpu.json", "bench_cpu.json")
STEPS = "steps.jsonl"
_ENOUGH = 10.0  # the fewest seconds of training behind a speed
_BATCH = 100  # batch size of bench's trainings


@dataclass(frozen=True)
class Time:
    """Seconds, and the source of their measurement."""

    seconds: float
    source: str

    def of(self, count: float) -> "Time":
        return Time(self.seconds * count, self.source)


def precision() -> str:
    """The precision of the coming trainings, as the engine chooses it."""
    return os.environ.get("CAFFE_PRECISION") or "fp32"


class Speeds:
    """Times of one reproduction on one machine."""

    def __init__(self, place: Place, gpu: str = ""):
        self._place, self._gpu = place, gpu

    def iteration(self, model: str) -> Time | None:
        """The time of one training iteration, tests and snapshots included; None without a similar measurement."""
        own = self._own(model)
        if own:
            return own
        for other in self._alike(model):
            if measured := self._own(other):
                return self._resized(measured, other, model)
        for other in (model, *self._alike(model)):
            if measured := self._bench_training(other, model):
                return self._resized(measured, other, model)
        return None

    def image(self, model: str) -> Time | None:
        """The time of the class scores of one image."""
        for other in (model, *self._alike(model)):
            for row, source in self._rows:
                if row.get("work") == f"class scores {other}" and row.get("engine") == f"ours {precision()}":
                    return self._resized(Time(1 / row["images/s"], source), other, model)
        return None

    def step(self, name: str) -> Time | None:
        """The time of a step that was done here before."""
        seconds = [entry["seconds"] for entry in step_log() if entry.get("step") == name
                   and entry.get("status") == 0 and isinstance(entry.get("seconds"), (int, float))]  # fmt: skip
        return Time(seconds[-1], "measured here") if seconds else None

    def _own(self, model: str) -> Time | None:
        try:
            seen = curves.read(run_of(model))
        except (UserError, ValueError, OSError):
            return None
        last = [point for point in seen.displayed if point.run is seen.runs[-1]] if seen.runs else []
        for points in (last, seen.displayed):
            if len(points) > 1:
                seconds = points[-1].seconds - points[0].seconds
                iterations = points[-1].iteration - points[0].iteration
                if seconds > _ENOUGH and iterations > 0:
                    return Time(seconds / iterations, f"{model} here")
        return None

    def _alike(self, model: str) -> list[str]:
        family = family_of(model)
        models = [*self._place.schedules, *(("nin1", "alexnet1"))]
        return [other for other in dict.fromkeys(models) if family and other != model and family_of(other) == family]

    def _resized(self, time: Time, of: str, model: str) -> Time | None:
        """A model's time from that of another of its family: work is proportional to the image's area."""
        sides = [self._side(name) for name in (of, model)]
        if None in sides:
            return None
        if sides[0] == sides[1]:
            return time
        return Time(time.seconds * (sides[1] / sides[0]) ** 2, f"{time.source}, by the area of the image")

    def _side(self, model: str) -> int | None:
        """The side of the images that a model's net takes."""
        for folder in (Path(), self._place.root):
            path = folder / "models" / model / "deploy.prototxt"
            if path.is_file():
                try:
                    layers = parse(read(path), caffe_pb2.NetParameter(), path).layer
                except UserError:
                    return None
                return next((layer.input_param.shape[0].dim[-1] for layer in layers if layer.type == "Input"), None)
        return None

    def _bench_training(self, model: str, of: str) -> Time | None:
        for row, source in self._rows:
            of_gpu = row.get("work") == f"train {model}"
            if of_gpu or (row.get("work") == f"caffe train {model}" and row.get("engine") == "ours"):
                if row.get("precision") == precision():
                    return Time(1 / row["iterations/s"] + self._test_share(of), source)
        return None

    def _test_share(self, model: str) -> float:
        """Seconds that the tests of val add to an iteration, if scoring was measured."""
        image, path = self.image(model), solver_file(model)
        if image is None or not path.is_file():
            return 0.0
        solver = parse_solver(fitted(read(path), path)[0], path)  # the solver with the run's own test_iter
        images = sum(solver.test_iter) * _BATCH
        return image.seconds * images / solver.test_interval if solver.test_interval else 0.0

    @cached_property
    def _rows(self) -> list[tuple[dict, str]]:
        """The benchmarks' rows of this machine, with their file."""
        here = {provenance.machine(self._gpu), provenance.machine("all" if self._gpu else "")}
        rows = []
        for path in (folder / name for name in BENCHES for folder in (BENCH, Path(KEPT))):
            try:
                found = json.loads((self._place.root / path).read_text())
                if found["machine"] in here:
                    rows += [(row, str(path)) for row in found["rows"] if isinstance(row, dict)]
            except (OSError, ValueError, KeyError, TypeError):
                continue  # no benchmark, or one without a time
        return rows


def step_log() -> list[dict]:
    """The log of steps: a line at each start, and one at each end."""
    path = Path(STEPS)
    entries = []
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line cut by a crash
        if isinstance(entry, dict):
            entries.append(entry)
    return entries
