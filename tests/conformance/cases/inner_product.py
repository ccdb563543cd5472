"""Cases of engine/caffe/_layers/inner_product.py."""

from ..layer_case import Bottom, cases, labels

CASES = cases(
    "InnerProduct",
    "inner_product_param { %s }",
    ("flattens", "num_output: 5", (2, 3, 4, 2)),
    ("no bias", "num_output: 5 bias_term: false", (3, 7)),
    ("axis 2", "num_output: 5 axis: 2", (2, 3, 4, 2)),
    ("axis from the end", "num_output: 5 axis: -1", (2, 3, 4)),
    ("axis 0", "num_output: 5 axis: 0", (2, 3, 2)),
    ("transpose", "num_output: 5 transpose: true", (3, 4, 2)),
)

CASES += cases(
    "Embed",
    "embed_param { %s }",
    ("plain", "num_output: 4 input_dim: 7", labels((9,), 7)),
    ("no bias", "num_output: 4 input_dim: 7 bias_term: false", labels((5,), 7)),
    ("two axes", "num_output: 3 input_dim: 4", labels((5, 2), 4)),
    ("parts of indices are cut off", "num_output: 3 input_dim: 5", Bottom((6,), 0, 4.99, gradient=False)),
    learned=True,
)
