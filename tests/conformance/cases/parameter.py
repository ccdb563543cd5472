"""Cases of engine/caffe/_layers/parameter.py."""

from ..layer_case import cases

CASES = cases(
    "Parameter",
    "parameter_param { %s }",
    ("matrix", "shape { dim: 3 dim: 5 }"),
    ("one number", "shape { }"),
)
