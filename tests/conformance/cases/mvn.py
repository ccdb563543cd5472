"""Cases of engine/caffe/_layers/mvn.py."""

from ..layer_case import Bottom, cases

CASES = cases(
    "MVN",
    "mvn_param { %s }",
    ("defaults", "", (2, 3, 5, 4)),
    ("across channels", "across_channels: true", (2, 3, 5, 4)),
    ("mean only", "normalize_variance: false", (2, 3, 5, 4)),
    ("mean only across channels", "normalize_variance: false across_channels: true", (2, 3, 5, 4)),
    ("large eps", "eps: 0.5", (2, 3, 5, 4)),
    ("large values", "", Bottom((2, 3, 5, 4), 90, 110)),
    ("three axes", "across_channels: true", (3, 4, 5)),
    ("two axes", "across_channels: true eps: 0.001", (3, 7)),
    ("constant maps", "eps: 0.25", Bottom((2, 3, 4, 5), 3, 3)),
)
