"""Cases of engine/caffe/_layers/accuracy.py."""

from ..layer_case import NO_GRADIENT, cases, labels, whole

CASES = cases(
    "Accuracy",
    "accuracy_param { %s }",
    ("plain", "", (23, 3), labels((23,), 3)),
    ("top 3", "top_k: 3", (23, 7), labels((23,), 7)),
    ("ties count against", "", whole(31, 3), labels((31,), 3)),
    ("ties count against, top 2", "top_k: 2", whole(31, 5), labels((31,), 5)),
    ("label ignored", "ignore_label: 1", (23, 3), labels((23,), 3)),
    ("each class", "", (29, 4), labels((29,), 4), {"tops": ("accuracy", "classes")}),
    ("each class, a label ignored", "ignore_label: 2", (29, 4), labels((29,), 4), {"tops": ("accuracy", "classes")}),
    ("a class without records", "", (5, 9), labels((5,), 3), {"tops": ("accuracy", "classes")}),
    ("spatial", "", (3, 4, 5, 2), labels((3, 5, 2), 4)),
    ("axis 2", "axis: 2", (3, 4, 5, 2), labels((3, 4, 2), 5)),
    ("axis from the end", "axis: -1", (3, 4, 5), labels((3, 4), 5)),
    **NO_GRADIENT,
)
