"""Fits a solver's test_iter to the val set on disk, so that a test takes each image once.

The solvers set 100 batches of 100, which are the 10,000 images of Tiny ImageNet. Caffe's test data wraps. On a
sample of 2,000 images the same test takes each image five times. Caffe then gets a copy of the solver.
"""

from pathlib import Path

from google.protobuf import text_format

from harness.errors import UserError
from harness.files import whole_file
from training.solver_file import REHEARSAL, field_values, parse_solver
from training.training_set import TrainingSet, test_sets

COPY = "solver.prototxt"
_HEADER = "# Made by training.run at each start of a training. Edit "


def batches(images: TrainingSet) -> int:
    """The test_iter that takes as many images as whole batches can, each once."""
    return max(1, images.images // images.batch)


def fitted(text: str, path: Path) -> tuple[str, list[str]]:
    """A solver's text with a test_iter that fits its test nets' data, and lines that report the change.

    A rehearsal tests on a part of val on purpose; its test_iter is only lowered.
    """
    solver = parse_solver(text, path)
    if not solver.test_interval or not solver.test_iter:
        return text, []
    values, lines = list(solver.test_iter), []
    for number, (images, value) in enumerate(zip(test_sets(solver), solver.test_iter)):
        if images is None or not images.images:
            continue
        needed = batches(images)
        if text.startswith(REHEARSAL):
            needed = min(needed, value)
        values[number] = needed
        name = f"test net #{number}" if number else "val"
        if needed != value:
            taken = min(needed * images.batch, images.images)
            lines.append(
                f"test_iter {value} -> {needed} for this run: {name} has {images.images:,} images, "
                f"and {needed} x batch {images.batch} test{'s' * (needed == 1)} {_share(taken, images.images)} once"
            )
        lines += _rest(name, needed, images) if needed == batches(images) else []
    return (_with_test_iter(text, values, path) if values != list(solver.test_iter) else text), lines


def _share(taken: int, images: int) -> str:
    return "each" if taken == images else f"{taken:,} of them"


def _rest(name: str, needed: int, images: TrainingSet) -> list[str]:
    """One line if whole batches do not cover the images exactly."""
    left = images.images - needed * images.batch
    if not left:
        return []
    if left > 0:
        what = f"leaves out {left:,} of the {images.images:,} images of {name}; the next test begins with them"
    else:
        what = f"takes some of the {images.images:,} images of {name} more than once"
    return [f"a test {what}: batch_size {images.batch} does not divide {images.images:,}"]


def _with_test_iter(text: str, values: list[int], path: Path) -> str:
    found, edited = field_values(text, "test_iter"), text
    wanted = parse_solver(text, path)
    wanted.test_iter[:] = values
    if len(found) == len(values):
        for match, value in reversed(list(zip(found, values))):
            begin, end = match.span("value")
            edited = f"{edited[:begin]}{value}{edited[end:]}"
    if parse_solver(edited, path) != wanted:  # a list in brackets, a value on a line of its own
        first = text.partition("\n")[0]
        edited = (f"{first}\n" if first.startswith(REHEARSAL) else "") + text_format.MessageToString(wanted)
    return edited


def write_copy(folder: Path, text: str, source: Path) -> Path:
    """Write Caffe's copy of a solver into the run folder. Raises UserError if another file is there."""
    path = folder / COPY
    if path.exists() and not path.read_bytes().startswith(_HEADER.encode()):
        raise UserError(f"{path}: is in the way of this run's copy of {source}; move it, then run this again")
    with whole_file(path) as file:
        file.write(f"{_HEADER}{source}, not this.\n{text}")
    return path


def remove_copy(folder: Path) -> None:
    """Remove the copy of an earlier start, which no longer applies."""
    path = folder / COPY
    if path.is_file() and path.read_bytes().startswith(_HEADER.encode()):
        path.unlink()
