"""Short training runs with every solver type, rate policy and solver option, on one net of 300 weights.

All runs of an engine are made in one process (run_trajectories.py), from the same weights, 20 iterations each.
An epoch of the data set is 10 iterations. So a run that resumes from a snapshot of 10 meets the same batches.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np

from .caffe_log import NUMBER, PREFIX
from .engines import REAL, Engine

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
STOP = 10  # the iteration of the snapshot from which another run resumes

DATA = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mean_value: 120 scale: 0.02 }
  data_param { source: "data/train_lmdb" backend: LMDB batch_size: 4 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 13 mean_value: 120 scale: 0.02 }
  data_param { source: "data/test_lmdb" backend: LMDB batch_size: 5 } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
"""
HIDDEN = """
layer { name: "hidden" type: "InnerProduct" bottom: "pool" top: "hidden"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 } inner_product_param { num_output: 5 } }
layer { name: "relu" type: "ReLU" bottom: "hidden" top: "hidden" }
"""
SCORES = """
layer { name: "scores" type: "InnerProduct" bottom: "hidden" top: "scores"
  param { lr_mult: 0.5 decay_mult: 3 } inner_product_param { num_output: 9 } }
layer { name: "accuracy" type: "Accuracy" bottom: "scores" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" %s }\n'
NET = DATA + HIDDEN + SCORES + LOSS % ""


def _second(name: str, bottom: str, outputs: int, fields: str = "", rest: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {fields} '
        f"inner_product_param {{ num_output: {outputs} }} {rest} }}\n"
    )


def _shared(mode: str, first: str, second: str) -> str:
    """Two layers beside each other with one weight; the second one's label is the first's output."""
    return (
        _second("left", "pool", 4, f'param {{ name: "w" {first} }}')
        + 'layer { name: "squash" type: "ReLU" bottom: "left" top: "left" }\n'
        + _second("right", "pool", 4, f'param {{ name: "w" {mode} {second} }} param {{ lr_mult: 0 }}')
        + 'layer { name: "hidden" type: "ReLU" bottom: "right" top: "hidden" }\n'
        + SCORES
        + _second("others", "left", 9)
        + LOSS % ""
        + LOSS.replace('"loss"', '"second"').replace('"scores"', '"others"') % ""
    )


# The same count, another shape: (8, 5) there, (5, 8) here.
_PERMISSIVE = (
    HIDDEN
    + _second("wide", "hidden", 8, 'param { name: "w" }')
    + _second("narrow", "wide", 5, 'param { name: "w" share_mode: PERMISSIVE }')
    + SCORES.replace('bottom: "hidden"', 'bottom: "narrow"')
    + LOSS % ""
)
_STAGES = (
    HIDDEN.replace('name: "relu"', 'name: "relu" include { min_level: 2 } relu_param { negative_slope: 0.1 }')
    + 'layer { name: "leaky" type: "ReLU" bottom: "hidden" top: "hidden" relu_param { negative_slope: 0.3 } '
    "exclude { min_level: 2 } }\n"
    + SCORES
    + LOSS % 'include { phase: TRAIN } include { stage: "deep" }'
    + 'layer { name: "top3" type: "Accuracy" bottom: "scores" bottom: "label" top: "top3" '
    'accuracy_param { top_k: 3 } include { phase: TEST stage: "top" not_stage: "deep" } }\n'
)

FIXED = 'base_lr: 0.05 lr_policy: "fixed" '
SGD = 'type: "SGD" momentum: 0.9 weight_decay: 0.005 '
TESTED = "test_interval: 10 test_iter: 4 "


def _solver(net: str = "", rate: str = FIXED, rule: str = SGD, tests: str = TESTED, more: str = "") -> str:
    train = f"net_param {{ {DATA + net if net else NET} }}\n"
    return f"{train}{rate}{rule}{tests}{more} display: 5 max_iter: 20 random_seed: 1 solver_mode: CPU"


TYPES = {
    "SGD": SGD,
    "Nesterov": 'type: "Nesterov" momentum: 0.9 weight_decay: 0.005 ',
    "AdaGrad": 'type: "AdaGrad" delta: 1e-4 weight_decay: 0.005 ',
    "RMSProp": 'type: "RMSProp" rms_decay: 0.9 delta: 1e-4 weight_decay: 0.005 ',
    "AdaDelta": 'type: "AdaDelta" momentum: 0.95 delta: 1e-3 weight_decay: 0.005 ',
    "Adam": 'type: "Adam" momentum: 0.9 momentum2: 0.99 delta: 1e-6 weight_decay: 0.005 ',
}
RATE_OF_TYPE = {"RMSProp": 0.01, "AdaDelta": 1, "Adam": 0.01}
RATES = {
    "step": "gamma: 0.3 stepsize: 6",
    "exp": "gamma: 0.93",
    "inv": "gamma: 0.1 power: 0.75",
    "multistep": "gamma: 0.1 stepvalue: 5 stepvalue: 12 stepvalue: 13",
    "poly": "power: 1.5",
    "sigmoid": "gamma: 0.3 stepsize: 9",
}
TRAJECTORIES = {
    **{
        f"type {name}": _solver(
            rate=FIXED.replace("0.05", str(RATE_OF_TYPE.get(name, 0.05))), rule=rule, more="snapshot: 10"
        )
        for name, rule in TYPES.items()
    },
    **{f"rate {name}": _solver(rate=f'base_lr: 0.05 lr_policy: "{name}" {more} ') for name, more in RATES.items()},
    "L1": _solver(more='regularization_type: "L1"'),
    "clip_gradients": _solver(more="clip_gradients: 0.8"),
    "iter_size and average_loss": _solver(more="iter_size: 3 average_loss: 4 test_compute_loss: true"),
    "Adam with all of it": _solver(
        rate=FIXED.replace("0.05", "0.01"),
        rule=TYPES["Adam"],
        more='iter_size: 2 clip_gradients: 1.5 regularization_type: "L1" average_loss: 7',
    ),
    "shared by name": _solver(_shared("", "lr_mult: 2 decay_mult: 3", "")),
    "shared by name, factors given by the second": _solver(
        _shared("share_mode: STRICT", "", "lr_mult: 2 decay_mult: 3")
    ),
    "shared by count": _solver(_PERMISSIVE),
    "loss_weight": _solver(
        HIDDEN
        + SCORES
        + _second("others", "hidden", 3, rest="loss_weight: 0.25")
        + _second("aside", "hidden", 9)
        + LOSS % "loss_weight: 0.7"
        + LOSS.replace('"loss"', '"second"').replace('"scores"', '"aside"') % "loss_weight: 1.5"
    ),
    "propagate_down": _solver(
        HIDDEN
        + _second("aside", "hidden", 9, rest="propagate_down: false")
        + SCORES
        + LOSS % ""
        + LOSS.replace('"loss"', '"second"').replace('"scores"', '"aside"') % ""
    ),
    "frozen": _solver(HIDDEN.replace("lr_mult: 1 ", "lr_mult: 0 ") + SCORES + LOSS % ""),
    "states": _solver(
        _STAGES,
        tests='test_interval: 7 test_iter: 2 test_iter: 3 test_state { stage: "top" } '
        'test_state { stage: "deep" stage: "top" level: 2 } test_initialization: false ',
        more="train_state { level: 1 }",
    ),
    "states, deep": _solver(_STAGES, more='train_state { level: 2 stage: "deep" }'),
    "debug_info": _solver(more="debug_info: true").replace("display: 5", "display: 12"),
    "snapshot_diff": _solver(tests="", more="snapshot_diff: true snapshot: 10"),
}


@dataclasses.dataclass
class Trajectory:
    """The result of one run: its log lines, their numbers apart, and the learned weights by `layer/index`."""

    lines: list[str]
    numbers: list[float]
    weights: dict[str, np.ndarray]


_SHOWN = re.compile(
    PREFIX + r"(?P<text>(?:Iteration \d+|    (?:Train|Test) net output|Test loss|MultiStep|Gradient clipping|"
    r"    \[(?:Forward|Backward|Update)\]|Sharing parameters|Snapshotting|Optimization Done|Ignoring source).*)$"
)


def read_log(log: str) -> tuple[list[str], list[float]]:
    """The lines of a solver's log with `N` for each measured number, and these numbers in their order."""
    lines, numbers = [], []
    for line in log.splitlines():
        if found := _SHOWN.match(line):
            text = re.sub(rf"\({NUMBER} iter/s, {NUMBER}s/", "(", found["text"])
            text = re.sub(r"file \S*/", "file ", text)
            measured = re.compile(rf"(?<=[=:>(,] ){NUMBER}|(?<=\(){NUMBER}(?=[,)])|(?<=norm |ctor ){NUMBER}")
            numbers += [float(each[0]) for each in measured.finditer(text)]
            lines.append(measured.sub("N", text))
    return lines, numbers


def run(engine: Engine, work: Path, starts: dict[str, str], folder: str, restore: str = "") -> dict[str, Trajectory]:
    """Run trajectories by name in one process. Snapshots are written to `folder` below `work`.

    Args:
        starts: names in TRAJECTORIES to the name of their files.
        restore: the folder of an earlier run; the new run resumes from its snapshot at STOP.
    """
    (work / folder).mkdir()
    jobs = []
    for name, stem in starts.items():
        solver = TRAJECTORIES[name] + f' snapshot_prefix: "{folder}/{stem}"'
        (work / folder / f"{stem}.prototxt").write_text(solver)
        jobs.append({"stem": stem, "restore": f"{restore}/{stem}_iter_{STOP}.solverstate" if restore else ""})
    (work / folder / "jobs.json").write_text(json.dumps(jobs))
    log = engine.python(HERE / "run_trajectories.py", [folder], work)
    parts = re.split(r"^=== (\S+)$\n", log, flags=re.M)
    logs = dict(zip(parts[1::2], parts[2::2]))
    found = {}
    for name, stem in starts.items():
        with np.load(work / folder / f"{stem}.npz") as file:
            found[name] = Trajectory(*read_log(logs[stem]), dict(file))
    return found


STEMS = {name: f"t{index:02}" for index, name in enumerate(TRAJECTORIES)}
BY_TYPE = {f"type {name}": STEMS[f"type {name}"] for name in TYPES}


def live(work: Path) -> dict[str, Trajectory]:
    """Every trajectory by real Caffe. Its snapshots stay in real_trajectories/."""
    return run(REAL, work, STEMS, "real_trajectories")


def recorded() -> dict[str, Trajectory]:
    """Every trajectory as real Caffe made it when it was recorded."""
    table = json.loads((RECORDED / "trajectories.json").read_text())
    weights: dict[str, dict[str, np.ndarray]] = {name: {} for name in table}
    with np.load(RECORDED / "trajectories.npz") as file:
        for key, value in file.items():
            name, _, array = key.partition("|")
            weights[name][array] = value
    return {name: Trajectory(row["lines"], row["numbers"], weights[name]) for name, row in table.items()}


def record(found: dict[str, Trajectory]) -> None:
    """Write live trajectories into recorded/."""
    table = {name: {"lines": each.lines, "numbers": each.numbers} for name, each in found.items()}
    (RECORDED / "trajectories.json").write_text(json.dumps(table, indent=0) + "\n")
    arrays = {f"{name}|{key}": value for name, each in found.items() for key, value in each.weights.items()}
    np.savez_compressed(RECORDED / "trajectories.npz", **arrays)
