"""Cases of engine/caffe/_layers/memory_data.py."""

from ..layer_case import cases

CASES = cases(
    "MemoryData",
    "memory_data_param { batch_size: 2 channels: 3 height: 5 width: 4 } %s",
    ("first batch", "", {"records": 6}),
    ("goes on and round", "", {"records": 6, "forwards": 6}),
    tops=("data", "label"),
    backward=False,
)
