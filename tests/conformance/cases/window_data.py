"""Cases of engine/caffe/_layers/window_data.py.

The window files of make_layer_files.py have one foreground and one background window.
So the random choice has one outcome; tests/engine checks it by its rules.
"""

from ..layer_case import cases

WINDOWS = 'source: "files/windows%d.txt" batch_size: 2 fg_fraction: 0.5 '
CROP = "transform_param { crop_size: %d %s } window_data_param { "
CASES = cases(
    "WindowData",
    "%s }",
    ("warp", CROP % (8, "") + WINDOWS % 0),
    ("thresholds", CROP % (8, "") + WINDOWS % 1 + "fg_threshold: 0.7 bg_threshold: 0.2"),
    ("context", CROP % (12, "") + WINDOWS % 0 + "context_pad: 2"),
    ("context beyond the image", CROP % (11, "") + WINDOWS % 2 + "context_pad: 3"),
    ("square", CROP % (9, "") + WINDOWS % 0 + 'crop_mode: "square"'),
    ("square beyond the image", CROP % (10, "") + WINDOWS % 2 + 'crop_mode: "square" context_pad: 1'),
    ("mean values", CROP % (9, "mean_value: 5 mean_value: 6.5 mean_value: 7") + WINDOWS % 2 + "context_pad: 1"),
    ("one mean value", CROP % (9, "mean_value: 50") + WINDOWS % 0),
    ("mean file", CROP % (10, 'mean_file: "data/test_mean.binaryproto"') + WINDOWS % 2 + "context_pad: 2"),
    ("only its own scale", CROP % (8, "scale: 3") + WINDOWS % 0 + "scale: 0.25 mirror: true crop_size: 5"),
    ("cached, with a root folder", CROP % (8, "") + WINDOWS % 3 + 'cache_images: true root_folder: "files/"'),
    ("foreground rounds down", CROP % (4, "") + 'source: "files/windows0.txt" batch_size: 5 fg_fraction: 0.45'),
    tops=("data", "label"),
    backward=False,
)
