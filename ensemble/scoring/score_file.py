"""The score files, ``runs/<name>/scores/<split>.npz``, which the three steps hand to each other.

Those of another view than the centre lie a folder deeper, ``scores/10crop/<split>.npz``, and name the view inside.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ensemble.rule import CLASSES
from ensemble.scoring import score_data, views
from harness.errors import UserError
from harness.files import whole_file

SPLITS = ("val", "test", "holdout")


@dataclass
class Scores:
    """The scores of one model, at one snapshot, over one split, in the order of the LMDB's records."""

    scores: np.ndarray  #: float32 (N, 200), the deploy net's `prob`, the mean over the view's windows
    labels: np.ndarray  #: int64 (N,), -1 if unknown
    names: np.ndarray  #: text (N,), paths as in the zip: test/images/test_0.JPEG
    split: str
    iteration: int  #: iteration of the snapshot, -1 if its file name has none
    accuracy: float  #: top-1, as Caffe's TEST phase counts it; nan if a label is unknown
    accuracy_top5: float
    snapshot: str  #: path of the snapshot
    snapshot_sha256: str
    engine: str = ""  #: the folder of the Caffe that made them
    view: str = views.CENTER  #: the part of each image the net saw, named as in `ensemble.scoring.views`
    windows: int = 1  #: number of windows of that view, each one pass through the net
    seconds: float = float("nan")  #: duration, reading the records included; nan if unknown
    precision: str = "fp32"  #: precision of our engine's arithmetic, as in CAFFE_PRECISION
    data: str = ""  #: identity of the split's records (ensemble/scoring/score_data.py), "" if unknown


#: The kind of each field's dtype and its number of axes, as NumPy's savez writes them.
_KINDS = {"scores": ("f", 2), "labels": ("i", 1), "names": ("U", 1), "split": ("U", 0), "iteration": ("i", 0),
          "accuracy": ("f", 0), "accuracy_top5": ("f", 0), "snapshot": ("U", 0), "snapshot_sha256": ("U", 0),
          "engine": ("U", 0), "view": ("U", 0), "windows": ("i", 0), "seconds": ("f", 0), "precision": ("U", 0),
          "data": ("U", 0)}  # fmt: skip
#: Fields that older files lack.
_LATER = ("engine", "view", "windows", "seconds", "precision", "data")


def score_path(runs: Path, model: str, split: str, view: str = views.CENTER) -> Path:
    """The path of a model's scores; `view` is a name that `views.named` returned."""
    return runs / model / "scores" / views.folder(view) / f"{split}.npz"


def save(path: Path, scores: Scores) -> None:
    """Write a score file whole or not at all."""
    with whole_file(path, "wb") as file:
        np.savez(file, **asdict(scores))


def load(runs: Path, model: str, split: str, view: str = views.CENTER, data: Path | None = None) -> Scores:
    """Read and check a model's score file; raises UserError if it is missing, broken or not of 200 classes.

    With `data`, the folder of the LMDBs, it raises OtherData if the scores belong to other records.
    """
    path = score_path(runs, model, split, view)
    command = f"make scores-{model}{'' if view == views.CENTER else f' VIEW={view}'}"
    again = f"`{command}` makes it"
    if not path.is_file():
        raise UserError(f"{path}: no {split} scores of {model}; {again}")
    try:
        found = Scores(**_stored(path))
    except Exception as error:  # zipfile and NumPy can raise nearly anything for a damaged file
        raise UserError(f"{path}: not a whole score file ({str(error)[:200]}); {again}") from error
    _check(path, found, split, view, again)
    if data is not None:
        score_data.check(data, split, found.data, found.names.tolist(), path, command)
    return found


def _stored(path: Path) -> dict:
    """The fields of a score file; raises any exception if it is not one that `save` writes."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [member.filename[: -len(".npy")] for member in members]
    if sorted({*names, *_LATER}) != sorted(_KINDS) or len(set(names)) != len(names):
        raise ValueError("its arrays are other ones")
    size = path.stat().st_size
    if any(member.compress_type != zipfile.ZIP_STORED or member.file_size > size for member in members):
        raise ValueError("its arrays are compressed, or larger than the file")
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
        found = {name: stored[name] for name in names}
    for name, values in found.items():
        if (values.dtype.kind, values.ndim) != _KINDS[name]:
            raise ValueError(f"{name} is {values.dtype}, {values.ndim} axes")
    return {name: values if values.ndim else values.item() for name, values in found.items()}


def is_made(path: Path, snapshot_sha256: str, engine: str, precision: str, sources: Sequence[Path],
            view: str = views.CENTER, data: str = "") -> bool:  # fmt: skip
    """True if a score file has this snapshot, Caffe, precision and view, and is newer than its other sources.

    Its records must also have the identity `data`, if both are known.
    """
    try:
        stored = _stored(path)
        of = (stored["snapshot_sha256"], stored["engine"], stored.get("precision", "fp32"),
              stored.get("view", views.CENTER))  # fmt: skip
        of_data = score_data.same(stored.get("data", ""), data)
        made = path.stat().st_mtime_ns
    except Exception:
        return False
    return (
        of == (snapshot_sha256, engine, precision, view)
        and of_data
        and all(made > source.stat().st_mtime_ns for source in sources)
    )


def _check(path: Path, found: Scores, split: str, view: str, again: str) -> None:
    count = len(found.names)
    if found.split != split:
        raise UserError(f"{path}: holds scores of {found.split}, not {split}; {again}")
    if found.view != view:
        raise UserError(f"{path}: holds scores of the view {found.view}, not {view}; {again}")
    if count == 0 or found.labels.shape != (count,) or found.scores.shape[:1] != (count,):
        raise UserError(f"{path}: scores, labels and names differ in number, or there are none; {again}")
    if found.scores.shape[1] != CLASSES:
        raise UserError(f"{path}: scores of shape {found.scores.shape}, not of {CLASSES} classes; {again}")
    if not np.isfinite(found.scores).all():
        image = found.names[np.flatnonzero(~np.isfinite(found.scores).all(axis=1))[0]]
        raise UserError(f"{path}: a score of {image} is not a finite number; did the training diverge?")
    if found.labels.min() < -1 or found.labels.max() >= CLASSES:
        raise UserError(f"{path}: a label outside 0 to {CLASSES - 1}; `make lmdb` makes the labels")


def check_same_records(models: Sequence[str], files: Sequence[Scores]) -> None:
    """Raise UserError unless the score files have the same images in the same order with the same labels."""
    for model, file in zip(models[1:], files[1:]):
        first = files[0]
        if len(file.names) != len(first.names):
            problem = f"{len(file.names)} against {len(first.names)} images"
        elif (file.names != first.names).any():
            at = int(np.flatnonzero(file.names != first.names)[0])
            problem = f"record {at} is {file.names[at]} against {first.names[at]}"
        elif (file.labels != first.labels).any():
            at = int(np.flatnonzero(file.labels != first.labels)[0])
            problem = f"{file.names[at]} has label {file.labels[at]} against {first.labels[at]}"
        else:
            continue
        raise UserError(
            f"{first.split} scores of {model} and {models[0]} are not of the same records: {problem}; "
            f"make both from the same LMDB: `make scores-{models[0]} scores-{model}`"
        )
