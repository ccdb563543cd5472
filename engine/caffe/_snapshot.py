"""The one place that writes and reads snapshots: .caffemodel, .solverstate and what Caffe forgets.

A snapshot of iteration N is three files: the weights (``_iter_N.caffemodel``) and the solver's
state (``_iter_N.solverstate``), both as Caffe writes and reads them, and ``_iter_N.resume.json``
with what Caffe forgets: random states, data cursors, the window of average_loss, what lr_policy
"plateau" has seen. With it a run goes on as if it had never stopped; without it, as real Caffe does.

Each file is written beside its final name, flushed to disk and renamed. The solverstate comes
last: where it stands, its model is whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import _rng
from caffe._blobproto import RAW, from_array, read_file, shape_of, to_array
from caffe._error import SnapshotError
from caffe._log import logger
from caffe._lr_policy import Plateau

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from caffe._net import Net
    from caffe._solver import Solver

_RESUME_FORMAT = 1


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all: beside, flushed, renamed, and the folder flushed."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SnapshotError(f"Cannot write {path}: {error.strerror}.") from None


# ---- weights ---------------------------------------------------------------------------------


def read_weights(path: str | Path) -> list[tuple[str, list[Message]]]:
    """Layer names and their parameter BlobProtos, from a .caffemodel of any age.

    Raises:
        SnapshotError: the file is missing, cut, or no model.
    """
    net = read_file(path, "NetParameter")
    old = [layer.layer if layer.HasField("layer") else layer for layer in net.layers]
    layers = [(layer.name, list(layer.blobs)) for layer in (*net.layer, *old)]
    if not layers:
        raise SnapshotError(f"{path} holds no layers: it is not a .caffemodel.")
    return layers


def copy_weights(net: Net, layers: list[tuple[str, list[Message]]], where: str) -> None:
    """Copy weights to the net's layers of the same names; others are ignored with a line.

    Everything is checked before anything is copied.

    Raises:
        SnapshotError: the number or the shapes of a layer's parameters differ.
    """
    targets = dict(zip(net._layer_names, net._layers, strict=True))
    copies = []
    for name, protos in layers:
        target = targets.get(name)
        if target is None:
            logger.info("Ignoring source layer %s", name)
            continue
        if len(protos) != len(target.blobs):
            raise SnapshotError(
                f"{where}: layer '{name}' has {len(protos)} parameter blobs, the net's has {len(target.blobs)}: "
                "it is a snapshot of another net."
            )
        for index, (proto, blob) in enumerate(zip(protos, target.blobs, strict=True)):
            if not _same_shape(proto, tuple(blob.shape)):
                raise SnapshotError(
                    f"{where}: cannot copy param {index} weights from layer '{name}'; shape mismatch. Source "
                    f"param shape is {shape_of(proto)}; target param shape is {tuple(blob.shape)}. To learn this "
                    "layer's parameters from scratch rather than copying from a saved net, rename the layer."
                )
            copies.append((blob, to_array(proto, f"{where}, layer '{name}'")))
    for blob, values in copies:
        blob._data.set(torch.from_numpy(values.reshape(blob.shape)))


def _same_shape(proto: Message, shape: tuple[int, ...]) -> bool:
    # Files before 2014 give four dimensions, a bias as 1 x 1 x 1 x N (Blob::ShapeEquals).
    stored = shape_of(proto)
    if proto.HasField("shape"):
        return stored == shape
    return len(shape) <= 4 and stored == (1,) * (4 - len(shape)) + shape


def _blob_to_proto(proto: Message, blob, diff: bool = False) -> None:
    from_array(proto, _host(blob._data), _host(blob._diff) if diff else None)


def _host(array) -> np.ndarray:
    return array.tensor().cpu().contiguous().numpy()


def model_bytes(net: Net, diff: bool = False) -> bytes:
    """The net with its weights (and gradients) as the content of a .caffemodel."""
    model = RAW["NetParameter"](name=net.name)
    for layer in net._layers:
        proto = model.layer.add()
        proto.MergeFromString(layer.param.SerializeToString())
        del proto.blobs[:]
        for blob in layer.blobs:
            _blob_to_proto(proto.blobs.add(), blob, diff)
    return model.SerializeToString()


def write_model(net: Net, path: str | Path, diff: bool = False) -> None:
    """Write a .caffemodel."""
    write_file(path, model_bytes(net, diff))


# ---- the solver ------------------------------------------------------------------------------


def path_of(solver: Solver, extension: str) -> str:
    """Where the snapshot of the current iteration goes: ``<snapshot_prefix>_iter_<N><extension>``."""
    return f"{solver.param.snapshot_prefix}_iter_{solver.iter}{extension}"


def write_snapshot(solver: Solver) -> None:
    """Write the snapshot of the current iteration.

    Raises:
        SnapshotError: it cannot be written; files that stood there before are whole.
    """
    model_path = path_of(solver, ".caffemodel")
    logger.info("Snapshotting to binary proto file %s", model_path)
    write_model(solver.net, model_path, solver.param.snapshot_diff)

    state = RAW["SolverState"](iter=solver.iter, learned_net=model_path, current_step=solver.current_step)
    for history in solver.history:
        from_array(state.history.add(), history.cpu().contiguous().numpy())
    content = state.SerializeToString()
    state_path = path_of(solver, ".solverstate")
    resume = {
        "format": _RESUME_FORMAT,
        "iter": solver.iter,
        "solverstate_sha256": hashlib.sha256(content).hexdigest(),
        "random": _rng.save(),
        "losses": solver.recent_losses(),
        "plateau": dataclasses.asdict(solver.plateau) if solver.param.lr_policy == "plateau" else None,
        "nets": [_net_state(net) for net in (solver.net, *solver.test_nets)],
    }
    write_file(path_of(solver, ".resume.json"), json.dumps(resume, indent=1).encode())
    logger.info("Snapshotting solver state to binary proto file %s", state_path)
    write_file(state_path, content)


def _net_state(net: Net) -> dict[str, dict]:
    states = {layer.name: layer.get_state() for layer in net._layers}
    return {name: state for name, state in states.items() if state is not None}


def restore(solver: Solver, path: str | Path) -> None:
    """Go on from a snapshot: weights, history, iteration, and what Caffe forgets where it was kept.

    Args:
        path: the .solverstate; its model is looked for beside it, then where the state says.

    Raises:
        SnapshotError: it is broken, is no solverstate, or is of another net.
    """
    path = Path(path)
    if ".caffemodel" in path.name:
        raise SnapshotError(f"{path} is a model: --snapshot takes a .solverstate (or give the model to --weights).")
    state = read_file(path, "SolverState")
    if not state.HasField("iter"):
        raise SnapshotError(f"{path} is not a .solverstate: it has no iteration.")
    shapes = [tuple(history.shape) for history in solver.history]
    if [shape_of(proto) for proto in state.history] != shapes:
        raise SnapshotError(f"{path}: its history is of another net or solver type (number or shapes of blobs differ).")
    histories = [to_array(proto, str(path)) for proto in state.history]
    resume = _read_forgotten(path)
    if state.HasField("learned_net"):
        model_path = _find_model(path, state.learned_net)
        copy_weights(solver.net, read_weights(model_path), str(model_path))
    solver.iter = state.iter
    solver.current_step = state.current_step
    solver.plateau = Plateau(last_event=state.iter)
    logger.info("SGDSolver: restoring history")
    for history, values in zip(solver.history, histories, strict=True):
        history.copy_(torch.from_numpy(values))
    if resume is not None:
        _restore_forgotten(solver, resume)


def _find_model(state_path: Path, learned_net: str) -> Path:
    # Runs get moved and copied: the model beside the state is the one meant (BVLC#2281).
    beside = state_path.with_name(Path(learned_net).name)
    for candidate in (beside, Path(learned_net)):
        if candidate.is_file():
            return candidate
    raise SnapshotError(f"{state_path}: its model is neither {beside} nor {learned_net}.")


def _read_forgotten(path: Path) -> dict | None:
    """What Caffe forgets, from the file beside a .solverstate; None where there is none."""
    resume_path = path.with_name(path.name.removesuffix(".solverstate") + ".resume.json")
    if not resume_path.is_file():
        logger.warning(
            "%s is not there: resuming as real Caffe does, with data from the start and new random numbers.",
            resume_path,
        )
        return None
    try:
        resume = json.loads(resume_path.read_bytes())
        known = resume["format"] == _RESUME_FORMAT
        same = resume["solverstate_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        wanted = {name: resume[name] for name in ("random", "losses", "nets")}
        # Not in files of before there was the policy.
        wanted["plateau"] = Plateau(**resume["plateau"]) if resume.get("plateau") else None
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{resume_path} is broken ({error}); remove it to resume as real Caffe does.") from None
    if not (known and same):
        raise SnapshotError(f"{resume_path} is not of this .solverstate; remove it to resume as real Caffe does.")
    return wanted


def _restore_forgotten(solver: Solver, resume: dict) -> None:
    solver.set_recent_losses(resume["losses"])
    if resume["plateau"] is not None:
        solver.plateau = resume["plateau"]
    for net, layers in zip((solver.net, *solver.test_nets), resume["nets"], strict=False):
        for layer in net._layers:
            if layer.name in layers:
                layer.set_state(layers[layer.name])
    _rng.restore(resume["random"])
