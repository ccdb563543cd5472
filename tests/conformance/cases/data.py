"""Cases of engine/caffe/_layers/data.py."""

from ..layer_case import cases

# The LMDBs and means are those of make_data.py: test images are 17 x 15.
SOURCE = 'data_param { source: "data/%s_lmdb" backend: LMDB batch_size: %d }'
TEST = SOURCE % ("test", 2)
CASES = cases(
    "Data",
    "%s",
    ("raw", SOURCE % ("test", 3)),
    ("goes on and wraps", SOURCE % ("test", 7), {"forwards": 6}),
    ("no labels", TEST, {"tops": ("data",)}),
    ("test crop is in the middle", "transform_param { crop_size: 12 }" + TEST),
    (
        "crop, mean file and scale",
        'transform_param { crop_size: 13 scale: 0.5 mean_file: "data/test_mean.binaryproto" }' + TEST,
    ),
    ("mean value", "transform_param { mean_value: 100.5 scale: 0.25 }" + TEST),
    ("mean value each channel", "transform_param { mean_value: 100.5 mean_value: 110 mean_value: 90.25 }" + TEST),
    ("float data", "transform_param { scale: 3 }" + SOURCE % ("float", 3)),
    ("encoded png", SOURCE % ("png", 2)),
    ("encoded jpeg", SOURCE % ("jpeg", 1)),
    tops=("data", "label"),
    backward=False,
)
