"""Writing a snapshot: a model, a solver's state and a resume state together (_snapshot/restore.py reads them).

A snapshot of iteration N is four files. The weights (``_iter_N.caffemodel``) and the solver's state
(``_iter_N.solverstate``) are as Caffe writes and reads them. ``_iter_N.resume.json`` holds what Caffe
forgets: random states, data cursors, the window of average_loss, the memory of lr_policy "plateau". With
it a run resumes as if it had never stopped; without it, as real Caffe does. ``_iter_N.manifest.json`` lists
all of them with their sizes and digests (_snapshot/manifest.py). With snapshot_format: HDF5 the first two
end with ``.h5`` (see _net/weights.py and _snapshot/solver_state.py).

All four are on the disk before the first appears (_files/whole_file.py). They appear in the order model,
resume.json, solverstate, manifest, so a solverstate never stands without the files that it needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caffe._files.whole_file import WholeFiles, check_space, megabytes
from caffe._log import logger
from caffe._net.weights import hdf5_bytes, model_bytes
from caffe._snapshot import run_lock
from caffe._snapshot.manifest import Manifest
from caffe._snapshot.solver_state import SolverState
from caffe._snapshot.states import NetState, States
from caffe.proto import caffe_pb2

RESUME_FORMATS = (1, 2)
"""Formats of _iter_N.resume.json: in 1 no name has a list."""


def _format_of(nets: list[NetState]) -> int:
    """The format of a resume file: the older one if possible, so that older versions can read it."""
    return 2 if any(isinstance(state, list) for net in nets for state in net.values()) else 1


def _path_of(param: caffe_pb2.SolverParameter, iteration: int, extension: str) -> Path:
    return Path(f"{param.snapshot_prefix}_iter_{iteration}{extension}")


def write_snapshot(param: caffe_pb2.SolverParameter, states: States, resume_state: dict[str, Any]) -> None:
    """Write the snapshot of the current iteration, ``<snapshot_prefix>_iter_<N>`` with four endings.

    Args:
        param: the solver's; its snapshot_prefix, snapshot_format and snapshot_diff are used.
        resume_state: from :meth:`States.save_resume_state`. With several workers it is worker 0's, and the
            others' follow in a list as "workers".

    Raises:
        WriteError: it cannot be written; an earlier snapshot of that name stays whole.
    """
    progress = states.progress.save()
    hdf5 = param.snapshot_format == caffe_pb2.SolverParameter.HDF5
    kind, ending = ("HDF5", ".h5") if hdf5 else ("binary proto", "")
    model_path, resume_path, state_path, manifest_path = (
        _path_of(param, progress["iter"], extension)
        for extension in (".caffemodel" + ending, ".resume.json", ".solverstate" + ending, ".manifest.json")
    )
    with run_lock.held(param.snapshot_prefix), WholeFiles() as files:
        check_space(model_path.parent, snapshot_size(param, states), "a snapshot takes")
        written = {}

        logger.info("Snapshotting to %s file %s", kind, model_path)
        model = hdf5_bytes if hdf5 else model_bytes
        written[model_path.name] = files.write(model_path, model(states.net, param.snapshot_diff))

        # A relative path, like all paths in a snapshot: a run can be moved with its working folder.
        learned_net = os.path.relpath(model_path)
        history = [(values / states.history_scale).cpu().contiguous().numpy() for values in states.history]
        state = SolverState(progress["iter"], progress["current_step"], learned_net, history)
        content = state.to_hdf5_bytes() if hdf5 else state.to_bytes()
        resume = {
            "format": _format_of(resume_state["nets"]),
            "iter": progress["iter"],
            "solverstate_sha256": hashlib.sha256(content).hexdigest(),
            "losses": progress["losses"],
            "plateau": progress["plateau"] if param.lr_policy == "plateau" else None,
            **resume_state,
        }
        written[resume_path.name] = files.write(resume_path, json.dumps(resume, indent=1).encode())
        logger.info("Snapshotting solver state to %s file %s", kind, state_path)
        written[state_path.name] = files.write(state_path, content)

        manifest = Manifest.of(manifest_path, progress["iter"], written).to_bytes()
        files.write(manifest_path, manifest)
        # A state of an earlier run must never stand beside a model of this one.
        files.publish(instead_of=() if _has_content(manifest_path, manifest) else (manifest_path, state_path))


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


# ---- room on the disk ----------------------------------------------------------------------------


def snapshot_size(param: caffe_pb2.SolverParameter, states: States) -> int:
    """An upper bound, and a close one, for the bytes of a snapshot."""
    weights = 4 * sum(blob.count for layer in states.net._layers for blob in layer.blobs)
    history = 4 * sum(values.numel() for values in states.history)
    layers = sum(4096 + layer.param.ByteSize() for layer in states.net._layers)
    return weights * (2 if param.snapshot_diff else 1) + history + layers + (64 << 10)


def remaining_snapshots(param: caffe_pb2.SolverParameter, iteration: int) -> int:
    """How many snapshots a training to max_iter still writes."""
    unfinished = param.max_iter > iteration
    scheduled = max(0, param.max_iter // param.snapshot - iteration // param.snapshot) if param.snapshot > 0 else 0
    last_is_scheduled = param.snapshot > 0 and param.max_iter % param.snapshot == 0
    at_end = unfinished and param.snapshot_after_train and not last_is_scheduled
    return scheduled + at_end


@contextlib.contextmanager
def reserve_prefix(param: caffe_pb2.SolverParameter, states: States) -> Iterator[None]:
    """Hold the lock of snapshot_prefix during a training to max_iter, and check the room for its snapshots.

    If older snapshots are removed during the training, the environment variable CAFFE_SNAPSHOTS_KEPT says
    how many of the new ones exist at once.

    Raises:
        WriteError: another process trains with this prefix, it cannot be written, or the disk is too full.
    """
    count = remaining_snapshots(param, states.progress.iteration)
    if not count:
        yield
        return
    kept = os.environ.get("CAFFE_SNAPSHOTS_KEPT", "")
    with run_lock.held(param.snapshot_prefix):
        at_once = min(count, max(1, int(kept))) if kept.isdecimal() else count
        size = snapshot_size(param, states)
        check_space(
            _path_of(param, states.progress.iteration, "").parent,
            at_once * size,
            f"the snapshots to come, {at_once} of {megabytes(size)}, take",
            " Make room, snapshot less often, or let older ones be removed meanwhile (CAFFE_SNAPSHOTS_KEPT=n; "
            "make's KEEP=n sets it).",
        )
        yield
