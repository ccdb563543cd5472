"""Cases of engine/caffe/_layers/neuron.py."""

from ..layer_case import IN_PLACE, Bottom, cases, whole

CASES = cases(
    "ReLU",
    "%s",
    ("plain", "", (2, 3, 5, 4)),
    ("in place", "", (2, 3, 5, 4), IN_PLACE),
    ("leaky", "relu_param { negative_slope: 0.1 }", (2, 3, 5, 4)),
    ("leaky in place", "relu_param { negative_slope: 0.1 }", (2, 3, 5), IN_PLACE),
    ("at zero", "", whole(3, 7)),
    ("leaky at zero", "relu_param { negative_slope: 0.25 }", whole(3, 7)),
)

CASES += cases(
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
