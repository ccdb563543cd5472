"""Cases of engine/caffe/_layers/softmax.py."""

from ..layer_case import IN_PLACE, Bottom, cases

CASES = cases(
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
