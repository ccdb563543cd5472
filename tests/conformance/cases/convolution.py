"""Cases of engine/caffe/_layers/convolution.py."""

from ..layer_case import cases

CASES = cases(
    "Convolution",
    "convolution_param { %s }",
    ("plain", "num_output: 4 kernel_size: 3", (2, 3, 7, 5)),
    ("stride floors", "num_output: 4 kernel_size: 3 stride: 2", (2, 3, 8, 6)),
    ("pad", "num_output: 2 kernel_size: 3 pad: 2", (1, 3, 5, 4)),
    ("no bias", "num_output: 4 kernel_size: 2 bias_term: false", (2, 3, 5, 4)),
    ("one by one", "num_output: 5 kernel_size: 1", (2, 3, 4, 6)),
    ("one by one with stride", "num_output: 5 kernel_size: 1 stride: 2", (2, 3, 4, 7)),
    ("group", "num_output: 6 kernel_size: 3 group: 3 pad: 1", (2, 3, 5, 4)),
    ("group of two channels", "num_output: 8 kernel_size: 3 group: 2 stride: 2", (2, 4, 7, 6)),
    ("rectangular", "num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1", (2, 3, 6, 5)),
    ("lists", "num_output: 4 kernel_size: 2 kernel_size: 3 stride: 2 stride: 1 pad: 1 pad: 0", (2, 3, 6, 5)),
    ("dilation", "num_output: 3 kernel_size: 3 dilation: 2 pad: 1", (2, 2, 7, 6)),
    ("dilation each axis", "num_output: 3 kernel_size: 3 dilation: 1 dilation: 2 pad: 1", (2, 2, 4, 7)),
    ("nd im2col", "num_output: 4 kernel_size: 3 pad: 1 force_nd_im2col: true", (2, 3, 5, 4)),
    ("one spatial axis", "num_output: 4 kernel_size: 3 pad: 1 stride: 2", (2, 3, 8)),
    ("three spatial axes", "num_output: 2 kernel_size: 2 stride: 1", (2, 3, 3, 5, 4)),
    ("axis 2", "num_output: 4 kernel_size: 3 axis: 2 pad: 1", (2, 2, 3, 5)),
    ("shared by two bottoms", "num_output: 4 kernel_size: 3", (2, 3, 6, 4), (2, 3, 6, 4), {"tops": ("top", "top2")}),
)
