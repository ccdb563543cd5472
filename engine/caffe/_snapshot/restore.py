"""Going on from a snapshot (_snapshot/write.py says what it consists of): weights, history, and what Caffe forgets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from caffe._device import random_numbers
from caffe._error import DataError, SnapshotError
from caffe._log import logger
from caffe._net.duplicate_names import Named, is_stateful, label, match, of_layer
from caffe._net.weights import copy_weights, read_weights
from caffe._snapshot.manifest import Manifest
from caffe._snapshot.solver_state import SolverState
from caffe._snapshot.write import RESUME_FORMATS, NetState
from caffe._solver.lr_policy import Plateau
from caffe._workers.workers import ALONE, Workers
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe._layers.base import Layer
    from caffe._net.net import Net
    from caffe._solver.solver import Solver

# What JSON of another kind than expected raises where it is read and where states are set from it.
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def restore(solver: Solver, path: str | Path, workers: Workers = ALONE) -> None:
    """Go on from a snapshot: weights, history, iteration, and what Caffe forgets where it was kept.

    Of several workers the first reads it and the others get from it what they need: another machine may not have
    the files. What a snapshot keeps of the data fits any number of workers (see RecordCursor.take).

    Args:
        path: the .solverstate; its model is looked for beside it, then where the state says.
        workers: those that the solver trains with.

    Raises:
        SnapshotError: it is broken, is no solverstate, is of another net, or not as its manifest says.
    """
    forgotten: dict | None = None

    def read() -> None:
        nonlocal forgotten
        forgotten = _read(solver, Path(path))
        if forgotten:
            _say_what_changes(forgotten, workers)

    workers.first(read)
    if workers.size > 1:
        counts = [solver.iter, solver.current_step, dataclasses.asdict(solver.plateau), solver.recent_losses()]
        counts, forgotten = workers.exchange([counts, forgotten])[0]
        if workers.rank > 0:
            _go_on_as_another(solver, workers.rank, counts, forgotten)
        take_weights(solver, workers)


def take_weights(solver: Solver, workers: Workers) -> None:
    """Let all workers have the first's weights and history."""
    if workers.size == 1:
        return
    weights = [entry.blob._data for entry in solver.net._params.learnable]
    *values, _ = shared = workers.share([*(each.tensor() for each in weights), *solver.history, torch.zeros(1)])
    if workers.rank > 0:
        for weight, value in zip(weights, values, strict=False):
            weight.set(value.clone())
        for history, value in zip(solver.history, shared[len(weights) :], strict=False):
            history.copy_(value)


def _say_what_changes(forgotten: dict, workers: Workers) -> None:
    before = 1 + len(forgotten["workers"])
    if before != workers.size:
        logger.warning(
            "The snapshot is of %d worker(s), this run has %d. The data goes on where it stopped, with %d times "
            "batch_size records an iteration instead of %d times: mind base_lr and the number of iterations.%s",
            before, workers.size, workers.size, before,
            " New workers have new random numbers." if workers.size > before else "",
        )  # fmt: skip


def _go_on_as_another(solver: Solver, rank: int, counts: list, forgotten: dict | None) -> None:
    """What worker 0 has read, for another one; a worker that was not there before has its own random numbers."""
    solver.before_test = None
    solver.iter, solver.current_step, plateau, losses = counts
    solver.plateau = Plateau(**plateau)
    if forgotten is None:
        return
    solver.set_recent_losses(losses)
    known = forgotten["workers"][rank - 1 : rank]
    nets = known[0]["nets"] if known else forgotten["nets"]
    for layer, state in _states_of(solver.net, nets[0]):
        own = layer.get_state() or {}
        layer.set_state(state if known or "random" not in own else {**state, "random": own["random"]})
    if known:
        random_numbers.restore(known[0]["random"])


def _read(solver: Solver, path: Path) -> dict | None:
    """Restore a solver from files; returns what Caffe forgets, as resume.json has it, if it has."""
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
        known = resume["format"] in RESUME_FORMATS
        same = resume["solverstate_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        wanted = {name: resume[name] for name in ("random", "losses", "nets")}
        wanted["plateau"] = resume.get("plateau")  # not in files of before there was the policy
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


def _restore_forgotten(solver: Solver, resume: dict) -> None:
    solver.set_recent_losses(resume["losses"])
    if resume["plateau"] is not None:
        solver.plateau = Plateau(**resume["plateau"])
    for net, layers in zip((solver.net, *solver.test_nets), resume["nets"], strict=False):
        for layer, state in _states_of(net, layers):
            layer.set_state(state)
    random_numbers.restore(resume["random"])


def _states_of(net: Net, states: NetState) -> list[tuple[Layer, dict]]:
    """A net's layers, each with its state in a resume file.

    None has, with a warning, if the file does not tell which state is whose: data layers that read in step, such as
    images and their labels, must not get out of it.
    """
    known = [
        Named(name, dict(one["state"]), True, str(one.get("type", "")), tuple(one["tops"]) if "tops" in one else None)
        for name, kept in states.items()
        for one in (kept if isinstance(kept, list) else [{"state": kept}])
    ]
    wanted = [of_layer(layer) for layer in net._layers if is_stateful(layer)]
    matched = match(known, wanted)
    found = matched.found()
    unsure = {id(target.value) for group in matched.uneven if not group.sure for target in group.targets}
    lost = [
        layer.value
        for layer in wanted
        if id(layer.value) in unsure
        or id(layer.value) not in found
        and not layer.value.param.bottom
        and layer.value.get_state() is not None
    ]
    if lost:
        logger.warning(
            "The resume file has no state of its own for %s (net '%s', phase %s). An older version wrote one for all "
            "layers of a name, or the net has changed. No layer of this net gets its state back, so that its data "
            "stays in step: all of it starts anew, as in real Caffe.",
            ", ".join(label(net.graph, layer) for layer in lost), net.name, caffe_pb2.Phase.Name(net.phase),
        )  # fmt: skip
        return []
    return [(target.value, source.value) for source, target in matched.pairs]
