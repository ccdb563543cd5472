"""Cases of engine/caffe/_layers/input.py."""

from ..layer_case import NO_GRADIENT, cases

CASES = cases(
    "Input",
    "input_param { %s }",
    ("two shapes", "shape { dim: 2 dim: 3 dim: 5 } shape { dim: 4 }", {"tops": ("a", "b")}),
    ("one shape for both", "shape { dim: 2 dim: 3 }", {"tops": ("a", "b")}),
    **NO_GRADIENT,
)
