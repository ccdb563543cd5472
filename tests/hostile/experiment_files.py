"""The files that the experiment reads: Tiny ImageNet, scores, labels, and Caffe's files once more."""

import re
from pathlib import Path

import numpy as np

from data_prep.decode import decode_jpeg
from data_prep.errors import BadImage
from data_prep.tiny_imagenet import TinyImageNet
from ensemble.scoring import score_file
from harness.errors import UserError
from tests.data_prep import small_tiny_imagenet
from training import snapshots
from training.solver_file import parse_solver, read

from .artifact import Artifact, Found


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ---- the data set --------------------------------------------------------------------------------


def _make_zip(folder: Path) -> Path:
    """An image a class, and a few of val and test, so that all can be read in each trial."""
    whole, few = small_tiny_imagenet.files(), re.compile(r".*(?:/n\d+_0|val_[0-4]|test_[0-4])\.JPEG|.*\.txt")
    made = {name: content for name, content in whole.items() if few.fullmatch(name)}
    lines = made["val/val_annotations.txt"].splitlines(keepends=True)
    made["val/val_annotations.txt"] = b"".join(line for line in lines if re.match(rb"val_[0-4]\.", line))
    return small_tiny_imagenet.write_zip(folder / "tiny-imagenet-200.zip", made)


def _read_zip(path: Path) -> Found:
    from data_prep.records import BATCH_IMAGES, make_records, new_room

    data = TinyImageNet.open(path)
    images = [*data.train, *data.val, *data.test]
    assert len(images) < BATCH_IMAGES
    batch = make_records(data.reader, images, 0, False, new_room())
    named = (data.wnids, data.words, [image.entry.name for image in (*data.train, *data.val, *data.test)])
    # An image that does not decode is named and left out: that is an answer too.
    if batch.bad:
        raise BadImage(f"{path}: {batch.bad}")
    return (named, batch.keys), [bytes(batch.values[slice(*bounds)]) for bounds in batch.bounds]


def _make_jpeg(folder: Path) -> Path:
    return _write(folder / "val_3.JPEG", small_tiny_imagenet.jpeg(3))


# ---- the ensemble --------------------------------------------------------------------------------


def scores() -> score_file.Scores:
    scores = np.random.default_rng(4).random((6, 200), np.float32)
    names = np.array([f"val/images/val_{i}.JPEG" for i in range(6)])
    labels = np.arange(6, dtype=np.int64) * 7
    return score_file.Scores(scores, labels, names, "val", 20, 0.25, 0.5, "runs/one/one_iter_20.caffemodel", "ab" * 32)


def _make_scores(folder: Path) -> Path:
    path = score_file.score_path(folder / "runs", "one", "val")
    score_file.save(path, scores())
    return path


def _read_scores(path: Path) -> Found:
    found = score_file.load(path.parents[2], "one", "val")
    return (found.scores.shape, found.labels.dtype, found.names.shape), [
        found.scores.tobytes(), found.labels.tobytes(), found.names.tolist(), found.iteration, repr(found.accuracy),
        repr(found.accuracy_top5), found.snapshot, found.snapshot_sha256,
    ]  # fmt: skip


def _make_labels(folder: Path) -> Path:
    wnids = [f"n{1000000 + 37 * number:08d}" for number in range(200)]
    return _write(folder / "labels.txt", "".join(f"{wnid} a thing, another\n" for wnid in wnids).encode())


def _read_labels(path: Path) -> Found:
    from ensemble.submission import read_wnids

    return None, read_wnids(path)


def _make_split(folder: Path) -> Path:
    from tests.ensemble import small_ensemble

    if not (folder / "data").exists():
        small_ensemble.make(folder)
    return folder / "data" / "lmdb" / "val_lmdb" / "data.mdb"


def _read_split(path: Path) -> Found:
    from ensemble.scoring.records import Split
    from tests.ensemble.small_ensemble import SHAPE

    with Split(path.parent) as split:
        batches = list(split.batches(4, SHAPE))
    names = [name for batch in batches for name in batch.names]
    return len(names), (names, [batch.images.tobytes() for batch in batches], [b.labels.tobytes() for b in batches])


def _read_mean(path: Path) -> Found:
    from ensemble.scoring.records import read_mean

    mean = read_mean(path)
    return mean.shape, mean.tobytes()


def _make_scored_model(folder: Path) -> Path:
    _make_split(folder)
    return folder / "runs" / "one" / "one_iter_20.caffemodel"


def _read_scored_model(path: Path) -> Found:
    from ensemble.scoring.deploy_net import DeployNet
    from tests.ensemble.small_ensemble import SHAPE

    net = DeployNet(path.parents[2] / "models" / "one" / "deploy.prototxt", path, np.zeros(SHAPE, np.float32))
    return None, [array.tobytes() for array in net(np.ones((2, *SHAPE), np.uint8))]


# ---- the solvers ---------------------------------------------------------------------------------


def _read_solver_text(path: Path) -> Found:
    return None, str(parse_solver(read(path), path))


class _NotWhole(Exception):
    """The reason that newest_whole gives for skipping a snapshot."""


def _make_pair(folder: Path, damaged: str) -> Path:
    from .array_files import make_model
    from .array_files import state as whole_state

    model = make_model(folder)
    state = _write(folder / "small_iter_10.solverstate", whole_state().to_bytes())
    return {"model": model, "state": state}[damaged]


def _read_pair(path: Path) -> Found:
    fault = snapshots.fault(snapshots.Snapshot("small", 10))
    if fault is not None:
        raise _NotWhole(fault)
    return None, path.read_bytes()


def _solver(folder: Path) -> Path:
    from .net_files import SOLVER

    return _write(folder / "small.prototxt", SOLVER.encode())


EXPERIMENT_FILES = {
    "zip": Artifact(_make_zip, _read_zip, (UserError,)),
    "JPEG of the set": Artifact(
        _make_jpeg, lambda path: (None, decode_jpeg(path.read_bytes(), str(path)).tobytes()), (BadImage, UserError)
    ),
    "score npz": Artifact(_make_scores, _read_scores, (UserError,)),
    "labels.txt": Artifact(_make_labels, _read_labels, (UserError,)),
    "LMDB to score": Artifact(_make_split, _read_split, (UserError,), ("val_lmdb",)),
    "mean to score": Artifact(
        lambda folder: (_make_split(folder), folder / "data" / "lmdb" / "mean.binaryproto")[1], _read_mean, (UserError,)
    ),
    "model to score": Artifact(_make_scored_model, _read_scored_model, (UserError,)),
    "solver to run": Artifact(_solver, _read_solver_text, (UserError,)),
    "model of a pair": Artifact(
        lambda folder: _make_pair(folder, "model"), _read_pair, (_NotWhole,), ("small_iter_10",)
    ),
    "state of a pair": Artifact(
        lambda folder: _make_pair(folder, "state"), _read_pair, (_NotWhole,), ("small_iter_10",)
    ),
}
