"""Cases of engine/caffe/_layers/hdf5.py. The files are those of make_layer_files.py.
test_hdf5.py compares HDF5Output's files.
"""

from ..layer_case import cases

CASES = cases(
    "HDF5Data",
    "hdf5_data_param { %s }",
    ("one file", 'source: "files/hdf5_one.txt" batch_size: 3'),
    ("one file goes round", 'source: "files/hdf5_one.txt" batch_size: 3', {"forwards": 4}),
    ("a batch across files", 'source: "files/hdf5.txt" batch_size: 7'),
    ("goes on and round", 'source: "files/hdf5.txt" batch_size: 5', {"forwards": 4}),
    ("a batch larger than all files", 'source: "files/hdf5.txt" batch_size: 31'),
    ("one top", 'source: "files/hdf5.txt" batch_size: 2', {"tops": ("vector",), "forwards": 3}),
    tops=("image", "vector", "label"),
    backward=False,
)

CASES += cases(
    "HDF5Output",
    'hdf5_output_param { file_name: "%s.h5" }',
    ("no gradient flows", "no_gradient", (3, 4, 2), (3,)),
    tops=(),
)
