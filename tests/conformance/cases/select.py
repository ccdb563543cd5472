"""Cases of engine/caffe/_layers/select.py."""

from ..layer_case import Bottom, cases, labels

LEARNED = {"learned": True}

CASES = cases(
    "Filter",
    "%s",
    ("some records", "", (7, 3, 2), labels((7,), 2), LEARNED),
    ("two blobs", "", (9, 4), (9, 2, 3), labels((9, 1, 1), 2), {"tops": ("x", "y"), **LEARNED}),
    ("any number but 0", "", (9, 4), Bottom((9,), -2, 2, integers=True, gradient=False), LEARNED),
    ("every record", "", (5, 4), Bottom((5,), 0.1, 2, gradient=False), LEARNED),
)

CASES += cases(
    "BatchReindex",
    "%s",
    ("fewer", "", (7, 3, 2), labels((4,), 7), LEARNED),
    ("more, some twice", "", (3, 5), labels((8,), 3), LEARNED),
    ("parts of indices are cut off", "", (5, 4), Bottom((6,), 0, 4.99, gradient=False), LEARNED),
)
