"""Cases of engine/caffe/_layers/wiring.py."""

from ..layer_case import cases

CASES = cases(
    "Split",
    "%s",
    ("three tops", "", (2, 3, 5, 4), {"tops": ("x", "y", "z")}),
    ("one top", "", (2, 3), {"tops": ("x",)}),
)

CASES += cases("Silence", "%s", ("no gradient flows", "", (2, 3, 5, 4), (3, 2)), tops=())
