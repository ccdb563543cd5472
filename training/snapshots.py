"""The snapshots of a run, and the check that they are whole.

Our engine writes a manifest last, with every file's SHA-256. If there is a manifest, it decides. Real Caffe
writes over the final path (BVLC/caffe, util/io.cpp). A full disk or a power cut thus leaves a truncated file.
Protobuf may still accept one that ends between two layers. The two files of a pair therefore check each
other. The state holds one momentum blob for every blob of the model.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from harness.errors import UserError

_LARGEST = 2**31 - 1  # most bytes in a protobuf message


@dataclass(frozen=True)
class Snapshot:
    """The pair <prefix>_iter_<iteration>.caffemodel and .solverstate; either file may be missing.

    Our engine adds .resume.json, which holds the state that Caffe forgets, and .manifest.json.
    """

    prefix: str
    iteration: int

    def file(self, ending: str) -> Path:
        return Path(f"{self.prefix}_iter_{self.iteration}.{ending}")

    @property
    def state(self) -> Path:
        return self.file("solverstate")

    @property
    def model(self) -> Path:
        return self.file("caffemodel")

    @property
    def manifest(self) -> Path:
        return self.file("manifest.json")

    def remove(self) -> None:
        """Remove its files; an interrupted removal leaves no pair."""
        for ending in ("solverstate", "manifest.json", "resume.json", "caffemodel"):
            self.file(ending).unlink(missing_ok=True)


def snapshots(prefix: str) -> list[Snapshot]:
    """All snapshots of a prefix, the newest first, whole or not."""
    folder, stem = Path(prefix).parent, Path(prefix).name
    name = re.compile(re.escape(stem) + r"_iter_(\d+)\.(?:solverstate|caffemodel)")
    files = (name.fullmatch(path.name) for path in folder.glob("*")) if folder.is_dir() else ()
    iterations = {int(match[1]) for match in files if match}
    return [Snapshot(prefix, iteration) for iteration in sorted(iterations, reverse=True)]


def newest_whole(prefix: str) -> tuple[Snapshot | None, list[str]]:
    """The newest snapshot to resume from, and one line for each newer one that is not whole."""
    faults = []
    for snapshot in snapshots(prefix):
        problem = fault(snapshot)
        if problem is None:
            return snapshot, faults
        faults.append(problem)
    return None, faults


def fault(snapshot: Snapshot) -> str | None:
    """The fault of a snapshot, with the file's name, or None if a run can resume from it."""
    try:
        _check(snapshot)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except _Fault as error:
        return str(error)
    return None


def read_model(snapshot: Snapshot):
    """The NetParameter with a snapshot's weights. Raises UserError if the file is cut or damaged."""
    try:
        return _read(snapshot.model, caffe_pb2.NetParameter)
    except _Fault as error:
        raise UserError(str(error)) from error


class _Fault(Exception):
    pass


def _check(snapshot: Snapshot) -> None:
    written = _manifest(snapshot)
    for name, digest in (written or {}).items():
        _check_digest(snapshot.manifest.with_name(name), digest, snapshot.manifest.name)
    state = _read(snapshot.state, caffe_pb2.SolverState)
    if not isinstance(state.learned_net, str):  # protobuf gives bytes if a string is not valid text
        raise _Fault(f"{snapshot.state}: cut or damaged")
    if state.iter != snapshot.iteration:
        raise _Fault(f"{snapshot.state}: holds iteration {state.iter}")
    # Real Caffe takes the weights from learned_net, a path relative to the working folder (BVLC/caffe#2281). Our engine
    # takes those beside the state, so its snapshots can be moved.
    learned_net = Path(state.learned_net)
    moved = written is not None and snapshot.model.is_file() and not learned_net.exists()
    if not moved and not (learned_net.is_file() and snapshot.model.samefile(learned_net)):
        named = state.learned_net or "nothing"
        raise _Fault(f"{snapshot.state}: names {named} as its weights, which is not {snapshot.model} here")
    if written is None:
        _check_shapes(snapshot, state)


def _manifest(snapshot: Snapshot) -> dict[str, str] | None:
    """SHA-256 by file name, for the files that must be there; None if there is no manifest."""
    try:
        files = json.loads(snapshot.manifest.read_bytes())["files"]
        digests = {Path(name).name: of["sha256"] for name, of in files.items()}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Fault(f"{snapshot.manifest}: cut or damaged") from error
    if not {snapshot.state.name, snapshot.model.name} <= digests.keys():
        raise _Fault(f"{snapshot.manifest}: is of another snapshot")
    # A user who deleted resume.json wants real Caffe's resume behaviour.
    return {name: digest for name, digest in digests.items() if snapshot.manifest.with_name(name).exists()}


def _check_digest(path: Path, digest: str, manifest: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise _Fault(f"{path}: not as {manifest} says; cut, damaged or written over")


def _check_shapes(snapshot: Snapshot, state) -> None:
    """Check a pair without a manifest: each blob has all its numbers, and each has its momentum."""
    model = _read(snapshot.model, caffe_pb2.NetParameter)
    weights = [_shape(blob, snapshot.model) for layer in model.layer for blob in layer.blobs]
    history = [_shape(blob, snapshot.state) for blob in state.history]
    # Adam and AdaDelta keep two blobs for each of the model's, all other solvers one.
    if not weights or history not in (weights, weights * 2):
        raise _Fault(f"{snapshot.model}: {len(weights)} blobs for {len(history)} in the state; cut or of two nets")


def _read(path: Path, kind):
    try:
        if path.stat().st_size > _LARGEST:
            raise DecodeError("a message has 2 GB at most")
        return kind.FromString(path.read_bytes())
    except DecodeError as error:
        raise _Fault(f"{path}: cut or damaged") from error


def _shape(blob, path: Path) -> tuple[int, ...]:
    """Dimensions of a BlobProto, which must have all its numbers; old files give four named ones."""
    shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    if len(blob.data) != prod(shape):
        raise _Fault(f"{path}: a blob of shape {shape} has {len(blob.data)} numbers; damaged")
    return shape
