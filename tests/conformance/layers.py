"""The table of layer cases: one line a case, at least one for every layer type. run_cases.py runs them,
test_layers.py compares.

Dimensions all differ, so that a swapped axis shows. Add a case by adding a line, then `make record` with real
Caffe installed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Bottom:
    """One bottom blob: uniform in [low, high), or whole numbers low..high (labels, indices, ties)."""

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0
    integers: bool = False
    gradient: bool = True


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer under test. `text` is what stands in its prototxt besides name, type, bottoms and tops.

    backward: False where Caffe has no gradient (it aborts). top_diffs: False keeps the diffs Caffe put into
    the tops (the loss weight). params: the range parameters are drawn from. forwards: passes before the tops
    are read.
    """

    name: str
    type: str
    text: str
    bottoms: tuple[Bottom, ...]
    tops: tuple[str, ...] = ("top",)
    phase: str = "TEST"
    backward: bool = True
    top_diffs: bool = True
    params: tuple[float, float] = (-1.0, 1.0)
    forwards: int = 1


def labels(shape: tuple[int, ...], classes: int) -> Bottom:
    """Whole numbers 0..classes-1. Caffe gives labels no gradient."""
    return Bottom(shape, 0, classes - 1, integers=True, gradient=False)


def whole(*shape: int) -> Bottom:
    """Whole numbers -2..2: ties, and values exactly at a kink."""
    return Bottom(shape, -2, 2, integers=True)


def cases(type_: str, wrap: str, *rows: Sequence, **common) -> list[Case]:
    """Rows of (name, fields, bottom, ..., {options}); a tuple of ints is a Bottom; `wrap % fields` is the
    prototxt text.
    """
    table = []
    for name, fields, *rest in rows:
        options = dict(common)
        if rest and isinstance(rest[-1], dict):
            options |= rest.pop()
        bottoms = tuple(each if isinstance(each, Bottom) else Bottom(each) for each in rest)
        table.append(Case(f"{type_}/{name}", type_, wrap % fields, bottoms, **options))
    return table


IN_PLACE = {"tops": ("b0",)}
NO_GRADIENT = {"backward": False}

CONVOLUTION = cases(
    "Convolution",
    "convolution_param { %s }",
    ("plain", "num_output: 4 kernel_size: 3", (2, 3, 7, 5)),
    ("stride floors", "num_output: 4 kernel_size: 3 stride: 2", (2, 3, 8, 6)),
    ("pad", "num_output: 2 kernel_size: 3 pad: 2", (1, 3, 5, 4)),
    ("no bias", "num_output: 4 kernel_size: 2 bias_term: false", (2, 3, 5, 4)),
    ("one by one", "num_output: 5 kernel_size: 1", (2, 3, 4, 6)),
    ("one by one with stride", "num_output: 5 kernel_size: 1 stride: 2", (2, 3, 4, 7)),
    ("group", "num_output: 6 kernel_size: 3 group: 3 pad: 1", (2, 3, 5, 4)),
    ("group of two channels", "num_output: 8 kernel_size: 3 group: 2 stride: 2", (2, 4, 7, 6)),
    ("rectangular", "num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1", (2, 3, 6, 5)),
    ("lists", "num_output: 4 kernel_size: 2 kernel_size: 3 stride: 2 stride: 1 pad: 1 pad: 0", (2, 3, 6, 5)),
    ("dilation", "num_output: 3 kernel_size: 3 dilation: 2 pad: 1", (2, 2, 7, 6)),
    ("dilation each axis", "num_output: 3 kernel_size: 3 dilation: 1 dilation: 2 pad: 1", (2, 2, 4, 7)),
    ("nd im2col", "num_output: 4 kernel_size: 3 pad: 1 force_nd_im2col: true", (2, 3, 5, 4)),
    ("one spatial axis", "num_output: 4 kernel_size: 3 pad: 1 stride: 2", (2, 3, 8)),
    ("three spatial axes", "num_output: 2 kernel_size: 2 stride: 1", (2, 3, 3, 5, 4)),
    ("axis 2", "num_output: 4 kernel_size: 3 axis: 2 pad: 1", (2, 2, 3, 5)),
    ("shared by two bottoms", "num_output: 4 kernel_size: 3", (2, 3, 6, 4), (2, 3, 6, 4), {"tops": ("top", "top2")}),
)

# A window that starts beyond the image (no pad, stride wider than the kernel) is left out: real Caffe writes
# out of bounds there.
POOLING = cases(
    "Pooling",
    "pooling_param { %s }",
    ("max", "pool: MAX kernel_size: 2 stride: 2", (2, 3, 6, 4)),
    ("max ceils", "pool: MAX kernel_size: 3 stride: 2", (2, 3, 8, 6)),
    ("max stride wider than the kernel", "pool: MAX kernel_size: 2 stride: 3", (2, 3, 5, 8)),
    ("max pad", "pool: MAX kernel_size: 3 stride: 2 pad: 1", (2, 3, 7, 5)),
    ("max drops the window in the padding", "pool: MAX kernel_size: 2 stride: 2 pad: 1", (2, 3, 5, 7)),
    ("max keeps one axis and drops on the other", "pool: MAX kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 4)),
    ("max rectangular", "pool: MAX kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", (2, 3, 8, 5)),
    ("max ties go to the first", "pool: MAX kernel_size: 3 stride: 2 pad: 1", whole(2, 3, 6, 7)),
    ("max with mask", "pool: MAX kernel_size: 3 stride: 2", (2, 3, 7, 6), {"tops": ("top", "mask")}),
    ("max global", "pool: MAX global_pooling: true", (2, 3, 5, 4)),
    ("max stride one", "pool: MAX kernel_size: 3", (2, 3, 6, 5)),
    ("average", "pool: AVE kernel_size: 2 stride: 2", (2, 3, 6, 4)),
    ("average ceils", "pool: AVE kernel_size: 3 stride: 2", (2, 3, 8, 6)),
    ("average of nin pool2 at 24", "pool: AVE kernel_size: 3 stride: 2", (1, 1, 24, 12)),
    ("average pad counts the padding", "pool: AVE kernel_size: 3 stride: 2 pad: 1", (2, 3, 7, 5)),
    ("average pad and overhang", "pool: AVE kernel_size: 3 stride: 2 pad: 1", (2, 3, 8, 6)),
    ("average pad two", "pool: AVE kernel_size: 5 stride: 3 pad: 2", (2, 3, 9, 7)),
    ("average drops the window in the padding", "pool: AVE kernel_size: 2 stride: 2 pad: 1", (2, 3, 5, 7)),
    ("average stride wider than the kernel", "pool: AVE kernel_size: 2 stride: 3", (2, 3, 5, 8)),
    (
        "average rectangular",
        "pool: AVE kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1",
        (2, 3, 5, 8),
    ),
    ("average global", "pool: AVE global_pooling: true", (2, 3, 5, 4)),
)

INNER_PRODUCT = cases(
    "InnerProduct",
    "inner_product_param { %s }",
    ("flattens", "num_output: 5", (2, 3, 4, 2)),
    ("no bias", "num_output: 5 bias_term: false", (3, 7)),
    ("axis 2", "num_output: 5 axis: 2", (2, 3, 4, 2)),
    ("axis from the end", "num_output: 5 axis: -1", (2, 3, 4)),
    ("axis 0", "num_output: 5 axis: 0", (2, 3, 2)),
    ("transpose", "num_output: 5 transpose: true", (3, 4, 2)),
)

RELU = cases(
    "ReLU",
    "%s",
    ("plain", "", (2, 3, 5, 4)),
    ("in place", "", (2, 3, 5, 4), IN_PLACE),
    ("leaky", "relu_param { negative_slope: 0.1 }", (2, 3, 5, 4)),
    ("leaky in place", "relu_param { negative_slope: 0.1 }", (2, 3, 5), IN_PLACE),
    ("at zero", "", whole(3, 7)),
    ("leaky at zero", "relu_param { negative_slope: 0.25 }", whole(3, 7)),
)

POWER = cases(
    "Power",
    "power_param { %s }",
    ("defaults copy", "", (2, 3, 5, 4)),
    ("scale and shift", "scale: -2.5 shift: 0.75", (2, 3, 5, 4)),
    ("square", "power: 2 scale: 0.5 shift: 1.5", (2, 3, 5, 4)),
    ("cube", "power: 3 shift: 0.5", (2, 3, 5)),
    ("root of positive", "power: 0.5 scale: 0.5 shift: 1", (2, 3, 5)),
    ("inverse without shift", "power: -0.75 scale: 2", Bottom((2, 3, 5), 0.5, 2)),
    ("power 0", "power: 0 shift: 2", (3, 4)),
    ("scale 0", "power: 2 scale: 0 shift: 1.5", (3, 4)),
)

LRN = cases(
    "LRN",
    "lrn_param { %s }",
    ("size 5", "local_size: 5 alpha: 0.5 beta: 0.75", (2, 7, 3, 4)),
    ("size 3 with k", "local_size: 3 alpha: 1.5 beta: 0.5 k: 2", (2, 6, 3, 4)),
    ("size 1", "local_size: 1 alpha: 0.9 beta: 1.25", (2, 3, 5, 4)),
    ("window wider than the channels", "local_size: 7 alpha: 0.5 beta: 0.75", (2, 3, 5, 4)),
    ("defaults", "", (2, 6, 3, 4)),
    ("alexnet", "local_size: 5 alpha: 0.0001 beta: 0.75", Bottom((2, 7, 3, 4), -100, 100)),
    ("within channel 3", "norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.5 beta: 0.75", (2, 3, 6, 5)),
    ("within channel 5", "norm_region: WITHIN_CHANNEL local_size: 5 alpha: 1.5 beta: 0.5", (2, 3, 7, 6)),
)

DROPOUT = cases(
    "Dropout",
    "dropout_param { %s }",
    ("test copies", "dropout_ratio: 0.3", (2, 3, 5, 4)),
    ("test in place", "dropout_ratio: 0.7", (2, 3, 5), IN_PLACE),
)

SOFTMAX = cases(
    "Softmax",
    "softmax_param { %s }",
    ("channels", "", (2, 3, 5, 4)),
    ("vector", "", (3, 7)),
    ("axis 0", "axis: 0", (3, 4, 2)),
    ("axis 2", "axis: 2", (2, 3, 5, 4)),
    ("axis from the end", "axis: -1", (2, 3, 5, 4)),
    ("large values", "", Bottom((3, 7), -200, 200)),
    ("in place", "", (2, 5, 3), IN_PLACE),
)

# A second top (the probabilities) is left out: real Caffe 1.0 aborts on it, with loss_weight given once,
# twice or not at all.
SOFTMAX_WITH_LOSS = cases(
    "SoftmaxWithLoss",
    "%s",
    ("vector", "", (6, 5), labels((6,), 5)),
    ("own loss weight", "loss_weight: 2.5", (6, 5), labels((6,), 5), {"top_diffs": False}),
    ("spatial", "", (2, 3, 5, 4), labels((2, 5, 4), 3)),
    ("spatial with an axis of one", "", (2, 3, 5, 4), labels((2, 1, 5, 4), 3)),
    ("axis 2", "softmax_param { axis: 2 }", (2, 3, 5, 4), labels((2, 3, 4), 5)),
    ("axis from the end", "softmax_param { axis: -1 }", (2, 3, 5), labels((2, 3), 5)),
    *(
        (
            f"{mode.lower()} normalization, a label ignored" if ignore else f"{mode.lower()} normalization",
            f"loss_param {{ normalization: {mode} {ignore} }}",
            (2, 3, 5, 4),
            labels((2, 5, 4), 3),
        )
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")
        for ignore in ("", "ignore_label: 1")
    ),
    ("normalize false", "loss_param { normalize: false }", (2, 3, 5, 4), labels((2, 5, 4), 3)),
    ("normalize true, a label ignored", "loss_param { normalize: true ignore_label: 0 }", (2, 3, 5), labels((2, 5), 3)),
    ("every label ignored", "loss_param { ignore_label: 0 }", (3, 4), labels((3,), 1)),
    ("large values", "", Bottom((6, 5), -300, 300), labels((6,), 5)),
)

ACCURACY = cases(
    "Accuracy",
    "accuracy_param { %s }",
    ("plain", "", (23, 3), labels((23,), 3)),
    ("top 3", "top_k: 3", (23, 7), labels((23,), 7)),
    ("ties count against", "", whole(31, 3), labels((31,), 3)),
    ("ties count against, top 2", "top_k: 2", whole(31, 5), labels((31,), 5)),
    ("label ignored", "ignore_label: 1", (23, 3), labels((23,), 3)),
    ("each class", "", (29, 4), labels((29,), 4), {"tops": ("accuracy", "classes")}),
    ("each class, a label ignored", "ignore_label: 2", (29, 4), labels((29,), 4), {"tops": ("accuracy", "classes")}),
    ("a class without records", "", (5, 9), labels((5,), 3), {"tops": ("accuracy", "classes")}),
    ("spatial", "", (3, 4, 5, 2), labels((3, 5, 2), 4)),
    ("axis 2", "axis: 2", (3, 4, 5, 2), labels((3, 4, 2), 5)),
    ("axis from the end", "axis: -1", (3, 4, 5), labels((3, 4), 5)),
    **NO_GRADIENT,
)

INPUT = cases(
    "Input",
    "input_param { %s }",
    ("two shapes", "shape { dim: 2 dim: 3 dim: 5 } shape { dim: 4 }", {"tops": ("a", "b")}),
    ("one shape for both", "shape { dim: 2 dim: 3 }", {"tops": ("a", "b")}),
    **NO_GRADIENT,
)

SPLIT = cases(
    "Split",
    "%s",
    ("three tops", "", (2, 3, 5, 4), {"tops": ("x", "y", "z")}),
    ("one top", "", (2, 3), {"tops": ("x",)}),
)

SILENCE = cases("Silence", "%s", ("no gradient flows", "", (2, 3, 5, 4), (3, 2)), tops=())

PYTHON = cases(
    "Python",
    'python_param { module: "python_layer" layer: "Affine" param_str: \'%s\' }',
    ("affine", '{"scale": -2.5, "shift": 0.75}', (2, 3, 5, 4)),
)

# The LMDBs and means are those of make_data.py: test images are 17 x 15.
SOURCE = 'data_param { source: "data/%s_lmdb" backend: LMDB batch_size: %d }'
TEST = SOURCE % ("test", 2)
DATA = cases(
    "Data",
    "%s",
    ("raw", SOURCE % ("test", 3)),
    ("goes on and wraps", SOURCE % ("test", 7), {"forwards": 6}),
    ("no labels", TEST, {"tops": ("data",)}),
    ("test crop is in the middle", "transform_param { crop_size: 12 }" + TEST),
    (
        "crop, mean file and scale",
        'transform_param { crop_size: 13 scale: 0.5 mean_file: "data/test_mean.binaryproto" }' + TEST,
    ),
    ("mean value", "transform_param { mean_value: 100.5 scale: 0.25 }" + TEST),
    ("mean value each channel", "transform_param { mean_value: 100.5 mean_value: 110 mean_value: 90.25 }" + TEST),
    ("float data", "transform_param { scale: 3 }" + SOURCE % ("float", 3)),
    ("encoded png", SOURCE % ("png", 2)),
    ("encoded jpeg", SOURCE % ("jpeg", 1)),
    tops=("data", "label"),
    backward=False,
)

CASES = [
    *CONVOLUTION,
    *POOLING,
    *INNER_PRODUCT,
    *RELU,
    *POWER,
    *LRN,
    *DROPOUT,
    *SOFTMAX,
    *SOFTMAX_WITH_LOSS,
    *ACCURACY,
    *INPUT,
    *SPLIT,
    *SILENCE,
    *PYTHON,
    *DATA,
]
BY_NAME = {case.name: case for case in CASES}
assert len(BY_NAME) == len(CASES), "two cases have one name"

# Configurations our engine refuses with an error that says so. A case that runs must be taken out of here.
NOT_YET = {"Pooling/max with mask", "LRN/within channel 3", "LRN/within channel 5"}
