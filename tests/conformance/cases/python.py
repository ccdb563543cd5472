"""Cases of engine/caffe/_layers/python.py."""

from ..layer_case import cases

CASES = cases(
    "Python",
    'python_param { module: "python_layer" layer: "Affine" param_str: \'%s\' }',
    ("affine", '{"scale": -2.5, "shift": 0.75}', (2, 3, 5, 4)),
)
