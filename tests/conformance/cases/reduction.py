"""Cases of engine/caffe/_layers/reduction.py."""

from ..layer_case import NO_GRADIENT, cases, whole

CASES = cases(
    "Reduction",
    "reduction_param { %s }",
    ("defaults", "", (2, 3, 5, 4)),
    ("coeff", "coeff: -1.5", (2, 3, 5)),
    *(
        row
        for operation in ("SUM", "ASUM", "SUMSQ", "MEAN")
        for row in (
            (operation, f"operation: {operation}", (3, 7)),
            (f"{operation} from axis 1, coeff", f"operation: {operation} axis: 1 coeff: 0.3", (2, 3, 5, 4)),
        )
    ),
    ("axis from the end", "axis: -1 operation: MEAN", (2, 3, 5)),
    ("ASUM at zero", "axis: 1 operation: ASUM", whole(3, 7)),
)

CASES += cases(
    "ArgMax",
    "argmax_param { %s }",
    ("plain", "", (2, 3, 5, 4)),
    ("top 3", "top_k: 3", (4, 7)),
    ("with values", "out_max_val: true top_k: 2", (3, 5, 2)),
    ("with values, five axes", "out_max_val: true top_k: 2", (3, 5, 2, 1, 2)),
    ("axis", "axis: 1", (2, 5, 3, 4)),
    ("axis, top 2", "axis: 2 top_k: 2", (2, 3, 5, 4)),
    ("axis, values", "axis: 1 top_k: 3 out_max_val: true", (2, 5, 3)),
    ("axis from the end", "axis: -1 top_k: 2", (3, 5)),
    ("ties: the last comes first", "top_k: 4", whole(5, 9)),
    ("ties along an axis", "axis: 1 top_k: 3", whole(2, 7, 3)),
    **NO_GRADIENT,
)
