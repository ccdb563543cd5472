"""Cases of engine/caffe/_layers/dropout.py."""

from ..layer_case import IN_PLACE, cases

CASES = cases(
    "Dropout",
    "dropout_param { %s }",
    ("test copies", "dropout_ratio: 0.3", (2, 3, 5, 4)),
    ("test in place", "dropout_ratio: 0.7", (2, 3, 5), IN_PLACE),
)
