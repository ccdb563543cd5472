"""Cases of engine/caffe/_layers/scale.py."""

from ..layer_case import IN_PLACE, cases

CASES = cases(
    "Scale",
    "scale_param { %s }",
    ("channels", "", (2, 3, 5, 4)),
    ("bias", 'bias_term: true bias_filler { type: "constant" value: 2 }', (2, 3, 5)),
    ("filler", 'filler { type: "constant" value: 2 } bias_term: true', (4, 7)),
    ("two axes", "axis: 1 num_axes: 2 bias_term: true", (2, 3, 5, 4)),
    ("all that follow", "axis: 2 num_axes: -1 bias_term: true", (2, 3, 5, 4)),
    ("everything", "axis: 0 num_axes: -1", (2, 3, 5)),
    ("one number", "num_axes: 0 bias_term: true", (2, 3, 5)),
    ("axis from the end", "axis: -2", (2, 3, 5)),
    ("axis 0", "axis: 0 bias_term: true", (4, 3, 5)),
    ("in place", "bias_term: true", (2, 3, 5), IN_PLACE),
    ("second bottom", "", (2, 3, 5), (3,)),
    ("second bottom of two axes and a bias", "axis: 0 bias_term: true", (2, 3, 5), (2, 3)),
    ("second bottom in place", "axis: 2", (2, 3, 5, 4), (5, 4), IN_PLACE),
    ("second bottom of one number", "bias_term: true", (2, 3, 5), ()),
    ("second bottom of the same shape", "axis: 0", (2, 3, 5), (2, 3, 5)),
)

CASES += cases(
    "Bias",
    "bias_param { %s }",
    ("channels", "", (2, 3, 5, 4)),
    ("filler", 'filler { type: "constant" value: 2 }', (4, 7)),
    ("two axes", "axis: 1 num_axes: 2", (2, 3, 5, 4)),
    ("all that follow", "axis: 2 num_axes: -1", (2, 3, 5, 4)),
    ("one number", "num_axes: 0", (2, 3, 5)),
    ("axis from the end", "axis: -2", (2, 3, 5)),
    ("in place", "", (2, 3, 5), IN_PLACE),
    ("second bottom", "axis: 0", (2, 3, 5, 4), (2, 3)),
    ("second bottom in place", "", (2, 3, 5), (3,), IN_PLACE),
    ("second bottom of one number", "", (2, 3, 5), ()),
)
