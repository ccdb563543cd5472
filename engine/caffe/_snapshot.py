"""Snapshots: a model, a solver's state, and what Caffe forgets, written together and read together.

A snapshot of iteration N is three files: the weights (``_iter_N.caffemodel``) and the solver's
state (``_iter_N.solverstate``), both as Caffe writes and reads them, and ``_iter_N.resume.json``
with what Caffe forgets: random states, data cursors, the window of average_loss, what lr_policy
"plateau" has seen. With it a run goes on as if it had never stopped; without it, as real Caffe does.
With snapshot_format: HDF5 the first two end with ``.h5`` (see _weights.py and _solver_state.py).

Each file is written beside its final name, flushed to disk and renamed. The solverstate comes
last: where it stands, its model is whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from caffe import _rng
from caffe._error import SnapshotError
from caffe._log import logger
from caffe._lr_policy import Plateau
from caffe._solver_state import SolverState
from caffe._weights import copy_weights, read_weights, write_hdf5_model, write_model
from caffe._whole_file import write_file
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe._net import Net
    from caffe._solver import Solver

_RESUME_FORMAT = 1


def path_of(solver: Solver, extension: str) -> str:
    """Where the snapshot of the current iteration goes: ``<snapshot_prefix>_iter_<N><extension>``."""
    return f"{solver.param.snapshot_prefix}_iter_{solver.iter}{extension}"


def write_snapshot(solver: Solver) -> None:
    """Write the snapshot of the current iteration.

    Raises:
        SnapshotError: it cannot be written; files that stood there before are whole.
    """
    hdf5 = solver.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
    kind, ending = ("HDF5", ".h5") if hdf5 else ("binary proto", "")
    model_path = path_of(solver, ".caffemodel" + ending)
    logger.info("Snapshotting to %s file %s", kind, model_path)
    (write_hdf5_model if hdf5 else write_model)(solver.net, model_path, solver.param.snapshot_diff)

    history = [values.cpu().contiguous().numpy() for values in solver.history]
    state = SolverState(solver.iter, solver.current_step, model_path, history)
    content = state.to_hdf5_bytes() if hdf5 else state.to_bytes()
    state_path = path_of(solver, ".solverstate" + ending)
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
    logger.info("Snapshotting solver state to %s file %s", kind, state_path)
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
    state = SolverState.read(path)
    if [values.shape for values in state.history] != [tuple(history.shape) for history in solver.history]:
        raise SnapshotError(f"{path}: its history is of another net or solver type (number or shapes of blobs differ).")
    resume = _read_forgotten(path)
    if state.learned_net is not None:
        model_path = _find_model(path, state.learned_net)
        copy_weights(solver.net, read_weights(model_path), str(model_path))
    solver.iter = state.iter
    solver.current_step = state.current_step
    solver.plateau = Plateau(last_event=state.iter)
    logger.info("SGDSolver: restoring history")
    for history, values in zip(solver.history, state.history, strict=True):
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
    resume_path = path.with_name(path.name.removesuffix(".h5").removesuffix(".solverstate") + ".resume.json")
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
