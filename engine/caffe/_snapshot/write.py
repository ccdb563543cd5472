"""Snapshots: a model, a solver's state, and what Caffe forgets, written together (_snapshot/restore.py reads them).

A snapshot of iteration N is four files. The weights (``_iter_N.caffemodel``) and the solver's state
(``_iter_N.solverstate``) are as Caffe writes and reads them. ``_iter_N.resume.json`` holds what Caffe
forgets: random states, data cursors, the window of average_loss, what lr_policy "plateau" has seen. With
it a run goes on as if it had never stopped; without it, as real Caffe does. ``_iter_N.manifest.json`` says
that all of them are there and whole (_snapshot/manifest.py). With snapshot_format: HDF5 the first two end with
``.h5`` (see _net/weights.py and _snapshot/solver_state.py).

All four are on the disk before the first appears (_files/whole_file.py), and they appear in the order model,
resume.json, solverstate, manifest: where a solverstate stands, what it needs stands too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from caffe._device import random_numbers
from caffe._files.whole_file import WholeFiles, check_space, megabytes
from caffe._log import logger
from caffe._net.duplicate_names import by_name, is_stateful
from caffe._net.weights import hdf5_bytes, model_bytes
from caffe._snapshot import run_lock
from caffe._snapshot.manifest import Manifest
from caffe._snapshot.solver_state import SolverState
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe._net.net import Net
    from caffe._solver.solver import Solver

NetState = dict[str, "dict | list[dict]"]
"""States of a net's layers by their names. Stateful layers of one name have a list of type, tops and state."""

RESUME_FORMATS = (1, 2)
"""Formats of _iter_N.resume.json: in 1 no name has a list."""


def _format_of(nets: list[NetState]) -> int:
    """The format of a resume file: the older one if it will do, so that older versions read it too."""
    return 2 if any(isinstance(state, list) for net in nets for state in net.values()) else 1


def path_of(solver: Solver, extension: str) -> Path:
    """Where the snapshot of the current iteration goes: ``<snapshot_prefix>_iter_<N><extension>``."""
    return Path(f"{solver.param.snapshot_prefix}_iter_{solver.iter}{extension}")


def write_snapshot(solver: Solver, what_caffe_forgets: dict) -> None:
    """Write the snapshot of the current iteration.

    Args:
        what_caffe_forgets: of :func:`forgotten`; of several workers the first's, with the others' as "workers".

    Raises:
        WriteError: it cannot be written; snapshots that stood there before are whole.
    """
    hdf5 = solver.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
    kind, ending = ("HDF5", ".h5") if hdf5 else ("binary proto", "")
    model_path, state_path = path_of(solver, ".caffemodel" + ending), path_of(solver, ".solverstate" + ending)
    resume_path, manifest_path = path_of(solver, ".resume.json"), path_of(solver, ".manifest.json")
    with run_lock.held(solver.param.snapshot_prefix), WholeFiles() as files:
        check_space(model_path.parent, size_of(solver), "a snapshot takes")
        written = {}

        logger.info("Snapshotting to %s file %s", kind, model_path)
        model = hdf5_bytes if hdf5 else model_bytes
        written[model_path.name] = files.write(model_path, model(solver.net, solver.param.snapshot_diff))

        # Relative, as all that a snapshot says of places: a run can be moved with the folder it is started in.
        learned_net = os.path.relpath(model_path)
        history = [(values / solver.history_scale).cpu().contiguous().numpy() for values in solver.history]
        state = SolverState(solver.iter, solver.current_step, learned_net, history)
        content = state.to_hdf5_bytes() if hdf5 else state.to_bytes()
        resume = {
            "format": _format_of(what_caffe_forgets["nets"]),
            "iter": solver.iter,
            "solverstate_sha256": hashlib.sha256(content).hexdigest(),
            "losses": solver.recent_losses(),
            "plateau": dataclasses.asdict(solver.plateau) if solver.param.lr_policy == "plateau" else None,
            **what_caffe_forgets,
        }
        written[resume_path.name] = files.write(resume_path, json.dumps(resume, indent=1).encode())
        logger.info("Snapshotting solver state to %s file %s", kind, state_path)
        written[state_path.name] = files.write(state_path, content)

        manifest = Manifest.of(manifest_path, solver.iter, written).to_bytes()
        files.write(manifest_path, manifest)
        # A state of an earlier run must not stand beside a model of this one, not for a moment.
        files.publish(instead_of=() if _stands(manifest_path, manifest) else (manifest_path, state_path))


def forgotten(solver: Solver) -> dict:
    """What Caffe forgets that a pass through a test net changes."""
    return {"random": random_numbers.save(), "nets": [_net_state(net) for net in (solver.net, *solver.test_nets)]}


def _net_state(net: Net) -> NetState:
    """States by name; of stateful layers that share a name a list, with what tells them apart."""
    stateful = [layer for layer in net._layers if is_stateful(layer)]
    found: NetState = {}
    for name, group in by_name([layer.name for layer in stateful]).items():
        states = [(stateful[i], state) for i in group if (state := stateful[i].get_state()) is not None]
        if len(group) > 1:
            found[name] = [{"type": each.type, "tops": [*each.param.top], "state": state} for each, state in states]
        elif states:
            found[name] = states[0][1]
    return found


def _stands(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


# ---- room on the disk ----------------------------------------------------------------------------


def size_of(solver: Solver) -> int:
    """About how many bytes a snapshot takes: never less than it does."""
    weights = 4 * sum(blob.count for layer in solver.net._layers for blob in layer.blobs)
    history = 4 * sum(values.numel() for values in solver.history)
    layers = sum(4096 + layer.param.ByteSize() for layer in solver.net._layers)
    return weights * (2 if solver.param.snapshot_diff else 1) + history + layers + (64 << 10)


def to_come(solver: Solver) -> int:
    """How many snapshots the rest of a training to max_iter writes."""
    param, rest = solver.param, solver.param.max_iter > solver.iter
    scheduled = max(0, param.max_iter // param.snapshot - solver.iter // param.snapshot) if param.snapshot > 0 else 0
    at_end = rest and param.snapshot_after_train and not (param.snapshot > 0 and param.max_iter % param.snapshot == 0)
    return scheduled + at_end


@contextlib.contextmanager
def training(solver: Solver) -> Iterator[None]:
    """Around a training to max_iter: its snapshot_prefix is this process's, and there is room for its snapshots.

    Where older ones are removed meanwhile, the environment variable CAFFE_SNAPSHOTS_KEPT says how many of
    those to come will be there at once.

    Raises:
        WriteError: another process trains with this prefix, it cannot be written, or the disk is too full.
    """
    count = to_come(solver)
    if not count:
        yield
        return
    kept = os.environ.get("CAFFE_SNAPSHOTS_KEPT", "")
    with run_lock.held(solver.param.snapshot_prefix):
        at_once = min(count, max(1, int(kept))) if kept.isdecimal() else count
        check_space(
            path_of(solver, "").parent,
            at_once * size_of(solver),
            f"the snapshots to come, {at_once} of {megabytes(size_of(solver))}, take",
            " Make room, snapshot less often, or let older ones be removed meanwhile (CAFFE_SNAPSHOTS_KEPT=n; "
            "make's KEEP=n sets it).",
        )
        yield
