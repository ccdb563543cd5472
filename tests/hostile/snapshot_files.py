"""The four files of a snapshot, with and without its manifest."""

from collections.abc import Callable
from pathlib import Path

from caffe._error import SnapshotError
from caffe.proto import caffe_pb2

from tests.engine.records import datum, write_lmdb

from .artifact import Artifact, Found
from .record_files import smooth

_TRAINED = """name: "trained"
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { mirror: true scale: 0.01 }
  data_param { source: "records" batch_size: 3 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def _trainer():
    from caffe._files.prototxt import parse
    from caffe._solver import get_solver

    return get_solver(
        parse(
            'net: "trained.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 average_loss: 2 random_seed: 3 '
            'snapshot_prefix: "trained"',
            caffe_pb2.SolverParameter(),
            "here",
        )
    )


def _make_snapshot(ending: str, with_manifest: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        if not (folder / "records").exists():
            write_lmdb(folder / "records", [datum(smooth(2, 3, 4), i % 4) for i in range(7)])
            (folder / "trained.prototxt").write_text(_TRAINED)
            solver = _trainer()
            solver.step(2)
            solver.snapshot()
            if not with_manifest:
                (folder / "trained_iter_2.manifest.json").unlink()
        return folder / f"trained_iter_2{ending}"

    return make


def _read_snapshot(path: Path) -> Found:
    solver = _trainer()
    solver.restore(path.parent / "trained_iter_2.solverstate")
    solver.step(1)
    return solver.iter, [blob.data.tobytes() for blobs in solver.net.params.values() for blob in blobs]


SNAPSHOT_FILES = {
    f"{ending[1:]} of a snapshot{'' if with_manifest else ' without manifest'}": Artifact(
        _make_snapshot(ending, with_manifest), _read_snapshot, (SnapshotError,)
    )
    for ending in (".caffemodel", ".solverstate", ".resume.json", ".manifest.json")
    for with_manifest in (True, False)
    if with_manifest or "manifest" not in ending
}
