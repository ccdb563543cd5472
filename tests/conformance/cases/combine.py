"""Cases of engine/caffe/_layers/combine.py."""

from ..layer_case import cases, whole

CASES = cases(
    "Concat",
    "concat_param { %s }",
    ("channels", "", (2, 3, 5, 4), (2, 1, 5, 4), (2, 4, 5, 4)),
    ("records", "axis: 0", (2, 3, 5), (4, 3, 5)),
    ("axis from the end", "axis: -1", (2, 3, 5), (2, 3, 4)),
    ("concat_dim", "concat_dim: 2", (2, 3, 5, 4), (2, 3, 1, 4)),
    ("one bottom", "", (2, 3, 5)),
)

CASES += cases(
    "Slice",
    "slice_param { %s }",
    ("equal parts", "", (2, 6, 5, 4), {"tops": ("x", "y", "z")}),
    ("slice points", "slice_point: 1 slice_point: 4", (2, 6, 5), {"tops": ("x", "y", "z")}),
    ("records", "axis: 0 slice_point: 3", (5, 3, 4), {"tops": ("x", "y")}),
    ("axis from the end", "axis: -2", (2, 4, 5), {"tops": ("x", "y")}),
    ("slice_dim", "slice_dim: 2 slice_point: 2", (2, 3, 5, 4), {"tops": ("x", "y")}),
    ("one top", "", (2, 3, 5), {"tops": ("x",)}),
)

CASES += cases(
    "Eltwise",
    "eltwise_param { %s }",
    ("sum", "", (2, 3, 5), (2, 3, 5)),
    ("sum of three", "operation: SUM", (2, 3, 5), (2, 3, 5), (2, 3, 5)),
    ("coefficients", "coeff: 1 coeff: -1 coeff: 0.25", (2, 3, 5), (2, 3, 5), (2, 3, 5)),
    ("product", "operation: PROD", (2, 3, 5), (2, 3, 5)),
    ("product of three with zeros", "operation: PROD", whole(2, 3, 5), whole(2, 3, 5), whole(2, 3, 5)),
    ("product by division", "operation: PROD stable_prod_grad: false", (2, 3, 5), (2, 3, 5), (2, 3, 5)),
    ("product by division with zeros", "operation: PROD stable_prod_grad: false", whole(3, 7), whole(3, 7)),
    ("maximum", "operation: MAX", (2, 3, 5), (2, 3, 5)),
    ("maximum of four with ties", "operation: MAX", whole(3, 7), whole(3, 7), whole(3, 7), whole(3, 7)),
    ("maximum leaves coefficients", "operation: MAX coeff: 2 coeff: 0.5", (2, 3, 5), (2, 3, 5)),
    ("no axes", "", (), ()),
)
