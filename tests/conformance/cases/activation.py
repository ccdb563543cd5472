"""Cases of engine/caffe/_layers/activation.py."""

from ..layer_case import IN_PLACE, Bottom, cases, whole

WIDE = Bottom((3, 7), -120, 120)

CASES = cases(
    "ReLU",
    "%s",
    ("plain", "", (2, 3, 5)),
    ("in place", "", (2, 3, 5), IN_PLACE),
    ("leaky", "relu_param { negative_slope: 0.1 }", (2, 3, 5)),
    ("leaky in place", "relu_param { negative_slope: 0.1 }", (2, 3, 5), IN_PLACE),
    ("at zero", "", whole(3, 7)),
    ("leaky at zero", "relu_param { negative_slope: 0.25 }", whole(3, 7)),
)

CASES += cases(
    "PReLU",
    "prelu_param { %s }",
    ("slope each channel", "", (2, 3, 5)),
    ("one slope", "channel_shared: true", (2, 3, 5)),
    ("vector", 'filler { type: "constant" value: 0.5 }', (4, 7)),
    ("three axes", "", (2, 5, 3)),
    ("in place", "", (2, 3, 5), IN_PLACE),
    ("one slope in place", "channel_shared: true", (4, 7), IN_PLACE),
    ("at zero", "", whole(3, 7)),
)

CASES += cases(
    "ELU",
    "elu_param { %s }",
    ("plain", "", (2, 3, 5)),
    ("alpha", "alpha: 0.3", (2, 3, 5)),
    ("negative alpha", "alpha: -0.5", (2, 3, 5)),
    ("in place", "alpha: 0.7", (2, 3, 5), IN_PLACE),
    ("negative alpha in place", "alpha: -0.5", (2, 3, 5), IN_PLACE),
    ("at zero", "alpha: 0.5", whole(3, 7)),
    ("large values", "", WIDE),
)

CASES += cases(
    "BNLL",
    "%s",
    ("plain", "", (2, 3, 5)),
    ("in place: gradient at the top's values", "", (2, 3, 5), IN_PLACE),
    ("large values", "", WIDE),
)

CASES += cases(
    "Sigmoid",
    "%s",
    ("plain", "", (2, 3, 5)),
    ("in place", "sigmoid_param { engine: CAFFE }", (2, 3, 5), IN_PLACE),
    ("large values", "", WIDE),
)

CASES += cases(
    "Swish",
    "swish_param { %s }",
    ("plain", "", (2, 3, 5)),
    ("beta", "beta: -1.5", (2, 3, 5)),
    ("beta 0", "beta: 0", (3, 4)),
    ("in place", "beta: 0.7", (2, 3, 5), IN_PLACE),
    ("large values", "", WIDE),
)

CASES += cases(
    "TanH",
    "%s",
    ("plain", "", (2, 3, 5)),
    ("in place", "tanh_param { engine: CAFFE }", (2, 3, 5), IN_PLACE),
    ("large values", "", WIDE),
)
