"""Cases of engine/caffe/_layers/dummy_data.py. tests/engine checks the random fillers by their rules."""

from ..layer_case import cases

CASES = cases(
    "DummyData",
    "dummy_data_param { %s }",
    ("zeros", "shape { dim: 2 dim: 3 dim: 5 }"),
    ("one constant for two tops", "shape { dim: 4 } shape { dim: 2 dim: 3 } data_filler { value: 1.5 }"),
    (
        "a filler each",
        "shape { dim: 3 dim: 2 } data_filler { value: 1.5 } data_filler { type: 'constant' value: -2 }",
    ),
    ("older dimensions", "num: 2 channels: 3 channels: 4 height: 5 width: 1 width: 2 data_filler { value: 7 }"),
    ("bilinear", "num: 2 channels: 1 height: 4 width: 4 data_filler { type: 'bilinear' }"),
    tops=("a", "b"),
    backward=False,
)
