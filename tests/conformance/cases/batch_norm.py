"""Cases of engine/caffe/_layers/batch_norm.py."""

from ..layer_case import IN_PLACE, Bottom, cases

TRAIN = {"phase": "TRAIN"}
CASES = cases(
    "BatchNorm",
    "%s",
    ("train", "", (4, 3, 5, 2), TRAIN),
    ("train in place", "", (4, 3, 5, 2), TRAIN | IN_PLACE),
    (
        "train several passes",
        "batch_norm_param { moving_average_fraction: 0.75 }",
        (4, 3, 5, 2),
        TRAIN | {"forwards": 4},
    ),
    ("train, large eps", "batch_norm_param { eps: 0.5 }", (4, 3, 5, 2), TRAIN),
    ("train, large values", "", Bottom((4, 3, 5, 2), 20, 30), TRAIN),
    ("train with the sums", "batch_norm_param { use_global_stats: true }", (4, 3, 5, 2), TRAIN),
    ("train without a spatial axis", "", (7, 3), TRAIN),
    ("train one spatial axis", "", (4, 3, 5), TRAIN),
    ("train three spatial axes", "", (2, 3, 4, 5, 2), TRAIN),
    ("train four spatial axes", "", (2, 3, 1, 4, 5, 2), TRAIN),
    ("train one value a channel", "", (1, 4), TRAIN),
    ("train, parameters named", "param { lr_mult: 0 } param { lr_mult: 0 decay_mult: 0 }", (4, 3, 5), TRAIN),
    (
        "train, parameters of old files",
        "param { lr_mult: 1 } param { lr_mult: 2 } param { lr_mult: 3 }",
        (4, 3, 5),
        TRAIN,
    ),
    ("test", "", (4, 3, 5, 2)),
    ("test in place", "batch_norm_param { eps: 0.1 }", (4, 3, 5, 2), IN_PLACE),
    ("test with the batch", "batch_norm_param { use_global_stats: false }", (4, 3, 5, 2), {"forwards": 2}),
    ("test without a sum", "", (4, 3, 5, 2), {"params": (0.0, 0.0)}),
    params=(0.5, 2.0),
)
