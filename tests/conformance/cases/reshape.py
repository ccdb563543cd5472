"""Cases of engine/caffe/_layers/reshape.py."""

from ..layer_case import cases

CASES = cases(
    "Flatten",
    "flatten_param { %s }",
    ("all but the records", "", (2, 3, 5, 4)),
    ("axis and end_axis", "axis: 2 end_axis: 3", (2, 3, 5, 4, 2)),
    ("from the end", "axis: -3 end_axis: -2", (2, 3, 5, 4)),
    ("everything", "axis: 0", (2, 3, 5)),
    ("one axis", "axis: 1 end_axis: 1", (2, 3, 5)),
    ("no axis adds one", "axis: 2 end_axis: 1", (2, 3, 5)),
)

CASES += cases(
    "Reshape",
    "reshape_param { %s }",
    ("all dimensions", "shape { dim: 5 dim: 2 dim: 12 }", (2, 3, 5, 4)),
    ("copies and infers", "shape { dim: 0 dim: -1 dim: 2 }", (2, 3, 5, 4)),
    ("axis", "shape { dim: -1 dim: 2 } axis: 1", (2, 3, 5, 4)),
    ("axis and num_axes", "shape { dim: 3 dim: 5 } axis: 1 num_axes: 1", (2, 15, 4)),
    ("copies behind axis", "shape { dim: 0 dim: -1 } axis: 1 num_axes: 3", (2, 3, 5, 4, 2)),
    ("axis from the end", "shape { dim: 2 dim: -1 } axis: -2", (3, 5, 4)),
    ("adds an axis", "shape { dim: 1 } axis: 1 num_axes: 0", (2, 3, 5)),
    ("adds an axis at the end", "shape { dim: 1 } axis: -1 num_axes: 0", (2, 3, 5)),
    ("takes axes away", "axis: 1 num_axes: 2", (2, 1, 1, 5)),
    ("infers one", "shape { dim: 2 dim: 3 dim: -1 }", (2, 3)),
)

CASES += cases(
    "Tile",
    "tile_param { %s }",
    ("channels", "tiles: 3", (2, 3, 5, 4)),
    ("records", "axis: 0 tiles: 2", (2, 3, 5)),
    ("axis from the end", "axis: -1 tiles: 4", (2, 3, 5)),
    ("once", "tiles: 1", (2, 3)),
)

CASES += cases(
    "Crop",
    "crop_param { %s }",
    ("height and width", "", (2, 3, 7, 6), (1, 9, 4, 5)),
    ("one offset", "offset: 1", (2, 3, 7, 6), (2, 3, 4, 5)),
    ("offset each axis", "axis: 1 offset: 2 offset: 0 offset: 3", (2, 5, 4, 7), (2, 3, 4, 2)),
    ("records too", "axis: 0 offset: 1", (4, 5, 6), (2, 3, 4)),
    ("axis from the end", "axis: -1 offset: 2", (2, 3, 7), (5, 4, 5)),
)
