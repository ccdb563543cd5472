"""Cases of engine/caffe/_layers/lrn.py."""

from ..layer_case import Bottom, cases

CASES = cases(
    "LRN",
    "lrn_param { %s }",
    ("size 5", "local_size: 5 alpha: 0.5 beta: 0.75", (2, 7, 3, 4)),
    ("size 3 with k", "local_size: 3 alpha: 1.5 beta: 0.5 k: 2", (2, 6, 3, 4)),
    ("size 1", "local_size: 1 alpha: 0.9 beta: 1.25", (2, 3, 5, 4)),
    ("window wider than the channels", "local_size: 7 alpha: 0.5 beta: 0.75", (2, 3, 5, 4)),
    ("defaults", "", (2, 6, 3, 4)),
    ("alexnet", "local_size: 5 alpha: 0.0001 beta: 0.75", Bottom((2, 7, 3, 4), -100, 100)),
    ("within channel 3", "norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.5 beta: 0.75", (2, 3, 6, 5)),
    ("within channel 5", "norm_region: WITHIN_CHANNEL local_size: 5 alpha: 1.5 beta: 0.5", (2, 3, 7, 6)),
    (
        "within channel, window wider than the map",
        "norm_region: WITHIN_CHANNEL local_size: 9 alpha: 2.5 beta: 1.25",
        (2, 3, 4, 5),
    ),
    ("within channel 1", "norm_region: WITHIN_CHANNEL local_size: 1 alpha: 0.5 beta: 0.75", (2, 3, 4, 5)),
    ("within channel ignores k", "norm_region: WITHIN_CHANNEL local_size: 3 k: 4 engine: CAFFE", (2, 3, 6, 5)),
)
