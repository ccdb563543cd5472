"""Resuming from a snapshot (_snapshot/write.py lists its files): weights, history, progress and resume state."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from caffe._device import random_numbers
from caffe._error import DataError, SnapshotError
from caffe._log import logger
from caffe._net.weights import copy_weights, read_weights
from caffe._snapshot.manifest import Manifest
from caffe._snapshot.solver_state import SolverState
from caffe._snapshot.states import States, layer_states, share_weights_and_history
from caffe._snapshot.write import RESUME_FORMATS
from caffe._workers.workers import ALONE, Workers

# Errors of JSON with unexpected content: where it is read, and where states are restored from it.
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def restore(states: States, path: str | Path, workers: Workers = ALONE) -> None:
    """Restore a training's states from a snapshot; without resume.json, as real Caffe does.

    Worker 0 reads the files and sends the others what they need: another machine may not have the files.
    The data's states fit any number of workers (see RecordCursor.take).

    Args:
        path: the .solverstate. Its model is looked for beside it, then at the path in the state.
        workers: all workers of this training.

    Raises:
        SnapshotError: it is broken, is no solverstate, is of another net, or differs from its manifest.
    """
    resume: dict[str, Any] | None = None

    def read() -> None:
        nonlocal resume
        resume = _restore_files(states, Path(path))
        if resume:
            _warn_of_another_number_of_workers(1 + len(resume["workers"]), workers.size)

    workers.first(read)
    if workers.size > 1:
        progress, resume = workers.exchange([states.progress.save(), resume])[0]
        if workers.rank > 0:
            _restore_from_worker_0(states, workers.rank, progress, resume)
        share_weights_and_history(states, workers)


def _warn_of_another_number_of_workers(before: int, now: int) -> None:
    if before != now:
        logger.warning(
            "The snapshot is of %d worker(s), this run has %d. The data continues where it stopped, with %d times "
            "batch_size records an iteration instead of %d times: adapt base_lr and the number of iterations.%s",
            before, now, now, before,
            " New workers have new random numbers." if now > before else "",
        )  # fmt: skip


def _restore_from_worker_0(states: States, rank: int, progress: dict[str, Any], resume: dict[str, Any] | None) -> None:
    """Restore another worker from what worker 0 has read; a new worker keeps its own random numbers."""
    if resume is None:
        progress.pop("losses")
    states.progress.restore(progress)
    if resume is None:
        return
    known = resume["workers"][rank - 1 : rank]
    nets = known[0]["nets"] if known else resume["nets"]
    for layer, state in layer_states(states.net, nets[0]):
        own = layer.get_state() or {}
        layer.set_state(state if known or "random" not in own else {**state, "random": own["random"]})
    if known:
        random_numbers.restore(known[0]["random"])


def _restore_files(states: States, path: Path) -> dict[str, Any] | None:
    """Restore states from files; returns the resume state, None without resume.json."""
    if ".caffemodel" in path.name:
        raise SnapshotError(f"{path} is a model: --snapshot takes a .solverstate (or give the model to --weights).")
    state = SolverState.read(path)
    if [values.shape for values in state.history] != [tuple(history.shape) for history in states.history]:
        raise SnapshotError(f"{path}: its history is of another net or solver type (number or shapes of blobs differ).")
    resume_path = _beside(path, ".resume.json")
    model_path = _find_model(path, state.learned_net) if state.learned_net is not None else None
    manifest = Manifest.read(_beside(path, ".manifest.json"))
    if manifest is not None:
        manifest.check(file for file in (path, model_path, resume_path) if file and file.exists())
    resume = _read_resume(path, resume_path)
    if model_path is not None:
        copy_weights(states.net, read_weights(model_path), str(model_path), complete=True)
    counts = {"iter": state.iter, "current_step": state.current_step}
    states.progress.restore(counts)
    logger.info("SGDSolver: restoring history")
    for history, values in zip(states.history, state.history, strict=True):
        history.copy_(torch.from_numpy(values)).mul_(states.history_scale)
    if resume is not None:
        try:
            states.progress.restore({**counts, "losses": resume["losses"], "plateau": resume["plateau"]})
            states.restore_resume_state(resume)
        except DataError as error:
            raise SnapshotError(
                f"{resume_path} does not fit: {error} Remove it to resume as real Caffe does."
            ) from None
        except _BROKEN as error:
            raise _broken(resume_path, error) from None
    return resume


def _beside(state_path: Path, extension: str) -> Path:
    return state_path.with_name(state_path.name.removesuffix(".h5").removesuffix(".solverstate") + extension)


def _find_model(state_path: Path, learned_net: str) -> Path:
    # Runs get moved and copied: the model beside the state is the one meant (BVLC#2281).
    beside = state_path.with_name(Path(learned_net).name)
    for candidate in (beside, Path(learned_net)):
        if candidate.is_file():
            return candidate
    raise SnapshotError(f"{state_path}: its model is neither {beside} nor {learned_net}.")


def _read_resume(path: Path, resume_path: Path) -> dict[str, Any] | None:
    """Read the resume file of a .solverstate; None if there is none."""
    if not resume_path.is_file():
        logger.warning(
            "%s is not there: resuming as real Caffe does, with data from the start and new random numbers.",
            resume_path,
        )
        return None
    try:
        resume = json.loads(resume_path.read_bytes())
        known = resume["format"] in RESUME_FORMATS
        same = resume["solverstate_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        wanted = {name: resume[name] for name in ("random", "losses", "nets")}
        wanted["plateau"] = resume.get("plateau")  # files older than the policy have none
        wanted["workers"] = [{"random": each["random"], "nets": [*each["nets"]]} for each in resume.get("workers", [])]
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
