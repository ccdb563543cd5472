"""Cases of engine/caffe/_layers/image_data.py. The files are those of make_layer_files.py."""

from ..layer_case import cases

LIST = 'source: "files/images.txt" batch_size: '
MIXED = 'source: "files/mixed.txt" root_folder: "files/" batch_size: '
CASES = cases(
    "ImageData",
    "image_data_param { %s }",
    ("a list", LIST + "3"),
    ("goes on and round", LIST + "3", {"forwards": 4}),
    ("gray", LIST + "2 is_color: false"),
    ("larger", LIST + "1 new_height: 17 new_width: 13"),
    ("smaller", LIST + "1 new_height: 5 new_width: 7"),
    ("one longer, one shorter", LIST + "1 new_height: 20 new_width: 5"),
    ("to one column", LIST + "1 new_height: 4 new_width: 1"),
    ("half in one direction", LIST + "1 new_height: 9 new_width: 6"),
    ("gray, larger", LIST + "1 new_height: 11 new_width: 17 is_color: false"),
    ("resized to one size", MIXED + "4 new_height: 8 new_width: 6"),
    ("half and others", MIXED + "4 new_height: 4 new_width: 6"),
    ("sizes change from batch to batch", MIXED + "1", {"forwards": 2}),
    ("jpeg", MIXED + "1", {"forwards": 4}),
    ("gray jpeg", MIXED + "1 is_color: false", {"forwards": 4}),
    (
        "crop of different sizes",
        MIXED + "3 } transform_param { crop_size: 4 mean_value: 90 mean_value: 7 mean_value: 8",
    ),
    ("crop and scale", LIST + "2 } transform_param { crop_size: 6 scale: 0.25 mean_value: 100.5"),
    ("rand_skip of one skips nothing", LIST + "2 rand_skip: 1"),
    ("older fields do nothing", LIST + "2 scale: 3 mirror: true crop_size: 2"),
    tops=("data", "label"),
    backward=False,
)
