"""Going on from a snapshot (_snapshot.py says what it consists of): weights, history, and what Caffe forgets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from caffe import _rng
from caffe._error import DataError, SnapshotError
from caffe._log import logger
from caffe._lr_policy import Plateau
from caffe._manifest import Manifest
from caffe._snapshot import RESUME_FORMAT
from caffe._solver_state import SolverState
from caffe._weights import copy_weights, read_weights

if TYPE_CHECKING:
    from caffe._solver import Solver

# What JSON of another kind than expected raises where it is read and where states are set from it.
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def restore(solver: Solver, path: str | Path) -> None:
    """Go on from a snapshot: weights, history, iteration, and what Caffe forgets where it was kept.

    Args:
        path: the .solverstate; its model is looked for beside it, then where the state says.

    Raises:
        SnapshotError: it is broken, is no solverstate, is of another net, or not as its manifest says.
    """
    path = Path(path)
    if ".caffemodel" in path.name:
        raise SnapshotError(f"{path} is a model: --snapshot takes a .solverstate (or give the model to --weights).")
    state = SolverState.read(path)
    if [values.shape for values in state.history] != [tuple(history.shape) for history in solver.history]:
        raise SnapshotError(f"{path}: its history is of another net or solver type (number or shapes of blobs differ).")
    resume_path = _beside(path, ".resume.json")
    model_path = _find_model(path, state.learned_net) if state.learned_net is not None else None
    manifest = Manifest.read(_beside(path, ".manifest.json"))
    if manifest is not None:
        manifest.check(file for file in (path, model_path, resume_path) if file and file.exists())
    resume = _read_forgotten(path, resume_path)
    if model_path is not None:
        copy_weights(solver.net, read_weights(model_path), str(model_path), complete=True)
    solver.before_test = None
    solver.iter = state.iter
    solver.current_step = state.current_step
    solver.plateau = Plateau(last_event=state.iter)
    logger.info("SGDSolver: restoring history")
    for history, values in zip(solver.history, state.history, strict=True):
        history.copy_(torch.from_numpy(values)).mul_(solver.history_scale)
    if resume is not None:
        try:
            _restore_forgotten(solver, resume)
        except DataError as error:
            raise SnapshotError(
                f"{resume_path} does not fit: {error} Remove it to resume as real Caffe does."
            ) from None
        except _BROKEN as error:
            raise _broken(resume_path, error) from None


def _beside(state_path: Path, extension: str) -> Path:
    return state_path.with_name(state_path.name.removesuffix(".h5").removesuffix(".solverstate") + extension)


def _find_model(state_path: Path, learned_net: str) -> Path:
    # Runs get moved and copied: the model beside the state is the one meant (BVLC#2281).
    beside = state_path.with_name(Path(learned_net).name)
    for candidate in (beside, Path(learned_net)):
        if candidate.is_file():
            return candidate
    raise SnapshotError(f"{state_path}: its model is neither {beside} nor {learned_net}.")


def _read_forgotten(path: Path, resume_path: Path) -> dict | None:
    """What Caffe forgets, from the file beside a .solverstate; None where there is none."""
    if not resume_path.is_file():
        logger.warning(
            "%s is not there: resuming as real Caffe does, with data from the start and new random numbers.",
            resume_path,
        )
        return None
    try:
        resume = json.loads(resume_path.read_bytes())
        known = resume["format"] == RESUME_FORMAT
        same = resume["solverstate_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        wanted = {name: resume[name] for name in ("random", "losses", "nets")}
        # Not in files of before there was the policy.
        wanted["plateau"] = Plateau(**resume["plateau"]) if resume.get("plateau") else None
    except _BROKEN as error:
        raise _broken(resume_path, error) from None
    if not (known and same):
        raise SnapshotError(
            f"{resume_path} is not of {path.name}, or one of the two is damaged; remove it to resume as real Caffe does."
        )
    return wanted


def _broken(resume_path: Path, error: Exception) -> SnapshotError:
    reason = f"{type(error).__name__}: {error}"[:300]
    return SnapshotError(f"{resume_path} is broken ({reason}); remove it to resume as real Caffe does.")


def _restore_forgotten(solver: Solver, resume: dict) -> None:
    solver.set_recent_losses(resume["losses"])
    if resume["plateau"] is not None:
        solver.plateau = resume["plateau"]
    for net, layers in zip((solver.net, *solver.test_nets), resume["nets"], strict=False):
        for layer in net._layers:
            if layer.name in layers:
                layer.set_state(layers[layer.name])
    _rng.restore(resume["random"])
