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
    ("no spatial axis", "num_output: 6 kernel_size: 1 group: 2", (3, 4)),
    ("no spatial axis, axis from the end", "num_output: 4 axis: -1 kernel_size: 3", (2, 5, 3)),
    ("four spatial axes", "num_output: 4 kernel_size: 2 group: 2 pad: 1 stride: 2", (2, 2, 2, 3, 5, 4)),
    (
        "four spatial axes, lists",
        "num_output: 3 kernel_size: 1 kernel_size: 3 kernel_size: 2 kernel_size: 2 dilation: 1 dilation: 1 dilation: 2 "
        "dilation: 1 pad: 0 pad: 1 pad: 1 pad: 0 bias_term: false",
        (1, 2, 2, 3, 4, 3),
    ),
    ("engine CAFFE", "num_output: 4 kernel_size: 2 engine: CAFFE", (2, 3, 4, 5)),
)

CASES += cases(
    "Deconvolution",
    "convolution_param { %s }",
    ("plain", "num_output: 5 kernel_size: 3", (2, 3, 4, 2)),
    ("stride", "num_output: 2 kernel_size: 3 stride: 2", (1, 3, 4, 5)),
    ("stride wider than the kernel", "num_output: 2 kernel_size: 2 stride: 3", (2, 3, 4, 2)),
    ("pad", "num_output: 2 kernel_size: 4 pad: 1 stride: 2", (1, 3, 5, 4)),
    ("pad wider than the kernel", "num_output: 2 kernel_size: 2 pad: 3 stride: 2", (1, 3, 6, 5)),
    ("no bias", "num_output: 2 kernel_size: 2 bias_term: false", (1, 3, 5, 4)),
    ("one by one", "num_output: 5 kernel_size: 1", (1, 3, 4, 6)),
    ("one by one with stride", "num_output: 5 kernel_size: 1 stride: 2", (2, 3, 4, 3)),
    ("group", "num_output: 6 kernel_size: 3 group: 3 pad: 1", (2, 3, 5, 4)),
    ("group each channel, upsampling", "num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3", (1, 3, 5, 4)),
    ("rectangular", "num_output: 2 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1", (1, 3, 6, 5)),
    ("dilation each axis", "num_output: 3 kernel_size: 3 dilation: 2 dilation: 1 pad: 1", (2, 2, 4, 5)),
    ("nd im2col", "num_output: 2 kernel_size: 3 pad: 1 stride: 2 force_nd_im2col: true", (1, 3, 5, 4)),
    ("no spatial axis", "num_output: 6 kernel_size: 1 group: 2", (3, 4)),
    ("one spatial axis", "num_output: 2 kernel_size: 3 pad: 1 stride: 2", (2, 3, 6)),
    ("three spatial axes", "num_output: 2 kernel_size: 2 stride: 2", (1, 3, 3, 2, 4)),
    ("four spatial axes", "num_output: 4 kernel_size: 3 group: 2 pad: 1 stride: 2", (2, 2, 2, 3, 1, 2)),
    ("four spatial axes, pad wider", "num_output: 2 kernel_size: 2 pad: 2 stride: 3 dilation: 1", (1, 3, 2, 3, 2, 3)),
    ("axis 2", "num_output: 4 kernel_size: 3 axis: 2 stride: 2", (2, 2, 3, 5)),
    ("shared by two bottoms", "num_output: 5 kernel_size: 3", (2, 3, 4, 2), (2, 3, 4, 2), {"tops": ("top", "top2")}),
)

CASES += cases(
    "Im2col",
    "convolution_param { %s }",
    ("plain", "kernel_size: 3", (2, 3, 6, 5)),
    ("stride and pad", "kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 5)),
    ("rectangular", "kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1", (2, 3, 6, 5)),
    ("dilation each axis", "kernel_size: 2 dilation: 2 dilation: 3 pad: 1", (2, 2, 6, 5)),
    ("nd im2col", "kernel_size: 3 kernel_size: 2 pad: 1 force_nd_im2col: true", (2, 3, 4, 5)),
    ("one spatial axis", "kernel_size: 3 pad: 1 stride: 2", (2, 3, 8)),
    ("three spatial axes", "kernel_size: 2 stride: 2 stride: 1 stride: 1", (1, 2, 4, 3, 5)),
    ("axis 2", "kernel_size: 2 axis: 2", (2, 3, 2, 5, 4)),
)
