"""A working folder with a solver `tiny`, its net, its data, and the stand-in for Caffe as ./caffe."""

import sys
from pathlib import Path

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mean_file: "data/lmdb/mean.binaryproto" }
  data_param { source: "data/lmdb/train_lmdb" batch_size: 3 backend: LMDB } }
"""
SOLVER = """# edited by hand
net: "models/tiny/train_val.prototxt"
base_lr: 0.01
lr_policy: "fixed"
max_iter: 100000
snapshot_prefix: "runs/tiny/tiny"
"""


def make(folder: Path) -> None:
    """Fill a folder."""
    for file, text in {
        "solvers/tiny.prototxt": SOLVER,
        "models/tiny/train_val.prototxt": NET,
        "data/lmdb/train_lmdb/data.mdb": "",
        "data/lmdb/mean.binaryproto": "",
        "caffe": f"#!{sys.executable}\n" + Path(__file__).with_name("fake_caffe.py").read_text(),
    }.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "caffe").chmod(0o755)


def edit(before: str, after: str) -> None:
    """Edit the solver in the working folder."""
    path = Path("solvers/tiny.prototxt")
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
