"""Cases of engine/caffe/_layers/neuron.py."""

from ..layer_case import IN_PLACE, NO_GRADIENT, Bottom, cases, whole

# In place real Caffe writes over the gradient from above before it is used: no gradient to compare.
VALUES_IN_PLACE = IN_PLACE | NO_GRADIENT
POSITIVE = Bottom((2, 3, 5), 0.5, 2)

CASES = cases("AbsVal", "%s", ("plain", "", (2, 3, 5)), ("at zero", "", whole(3, 7)))

CASES += cases(
    "Clip",
    "clip_param { %s }",
    ("plain", "min: -0.5 max: 0.25", (2, 3, 5)),
    ("in place: gradient at the top's values", "min: -0.5 max: 0.25", (2, 3, 5), IN_PLACE),
    ("at the limits", "min: -1 max: 1", whole(3, 7)),
    ("min above max", "min: 0.5 max: -0.25", (2, 3, 5)),
)

CASES += cases(
    "Exp",
    "exp_param { %s }",
    ("plain", "", (2, 3, 5)),
    ("base 2", "base: 2", (2, 3, 5)),
    ("base below one", "base: 0.3 scale: 1.5", (2, 3, 5)),
    ("base 1", "base: 1 shift: 2", (3, 4)),
    ("scale and shift", "scale: -1.5 shift: 0.75", (2, 3, 5)),
    ("everything", "base: 3 scale: 0.5 shift: -1.25", (2, 3, 5)),
    ("in place", "base: 2 shift: 0.5", (2, 3, 5), IN_PLACE),
    ("overflows", "shift: -60", Bottom((3, 7), 70, 110)),
)

CASES += cases(
    "Log",
    "log_param { %s }",
    ("plain", "", POSITIVE),
    ("base 2", "base: 2", POSITIVE),
    ("base below one", "base: 0.3", POSITIVE),
    ("scale and shift", "scale: -1.5 shift: 4", POSITIVE),
    ("everything", "base: 10 scale: 2 shift: 3", (2, 3, 5)),
    ("in place", "base: 2 shift: 4", POSITIVE, VALUES_IN_PLACE),
    ("of negative values", "", (3, 7)),
)

CASES += cases(
    "Power",
    "power_param { %s }",
    ("defaults copy", "", (2, 3, 5)),
    ("scale and shift", "scale: -2.5 shift: 0.75", (2, 3, 5)),
    ("square", "power: 2 scale: 0.5 shift: 1.5", (2, 3, 5)),
    ("cube", "power: 3 shift: 0.5", (2, 3, 5)),
    ("root of positive", "power: 0.5 scale: 0.5 shift: 1", (2, 3, 5)),
    ("inverse without shift", "power: -0.75 scale: 2", POSITIVE),
    ("power 0", "power: 0 shift: 2", (3, 4)),
    ("scale 0", "power: 2 scale: 0 shift: 1.5", (3, 4)),
    ("square at zero", "power: 2", whole(3, 7)),
    ("cube at zero has no gradient there", "power: 3", whole(3, 7)),
    ("in place", "scale: -2.5 shift: 0.75 power: 3", (2, 3, 5), VALUES_IN_PLACE),
)

CASES += cases(
    "Threshold",
    "threshold_param { %s }",
    ("at zero", "", whole(3, 7)),
    ("threshold", "threshold: 0.25", (2, 3, 5)),
    **NO_GRADIENT,
)
