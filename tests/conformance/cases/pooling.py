"""Cases of engine/caffe/_layers/pooling.py."""

from ..layer_case import cases, whole

MASK = {"tops": ("top", "mask")}

# No case has a window that starts beyond the image (no pad, stride wider than the kernel).
# Real Caffe writes out of bounds there.
CASES = cases(
    "Pooling",
    "pooling_param { %s }",
    ("max", "pool: MAX kernel_size: 2 stride: 2", (2, 3, 6, 4)),
    ("max ceils", "pool: MAX kernel_size: 3 stride: 2", (2, 3, 8, 6)),
    ("max stride wider than the kernel", "pool: MAX kernel_size: 2 stride: 3", (2, 3, 5, 8)),
    ("max pad", "pool: MAX kernel_size: 3 stride: 2 pad: 1", (2, 3, 7, 5)),
    ("max drops the window in the padding", "pool: MAX kernel_size: 2 stride: 2 pad: 1", (2, 3, 5, 7)),
    ("max keeps one axis and drops on the other", "pool: MAX kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 4)),
    ("max rectangular", "pool: MAX kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", (2, 3, 8, 5)),
    ("max ties go to the first", "pool: MAX kernel_size: 3 stride: 2 pad: 1", whole(2, 3, 6, 7)),
    ("max with mask", "pool: MAX kernel_size: 3 stride: 2", (2, 3, 7, 6), MASK),
    ("max global", "pool: MAX global_pooling: true", (2, 3, 5, 4)),
    ("max stride one", "pool: MAX kernel_size: 3", (2, 3, 6, 5)),
    ("average", "pool: AVE kernel_size: 2 stride: 2", (2, 3, 6, 4)),
    ("average ceils", "pool: AVE kernel_size: 3 stride: 2", (2, 3, 8, 6)),
    ("average of nin pool2 at 24", "pool: AVE kernel_size: 3 stride: 2", (1, 1, 24, 12)),
    ("average pad counts the padding", "pool: AVE kernel_size: 3 stride: 2 pad: 1", (2, 3, 7, 5)),
    ("average pad and overhang", "pool: AVE kernel_size: 3 stride: 2 pad: 1", (2, 3, 8, 6)),
    ("average pad two", "pool: AVE kernel_size: 5 stride: 3 pad: 2", (2, 3, 9, 7)),
    ("average drops the window in the padding", "pool: AVE kernel_size: 2 stride: 2 pad: 1", (2, 3, 5, 7)),
    ("average stride wider than the kernel", "pool: AVE kernel_size: 2 stride: 3", (2, 3, 5, 8)),
    (
        "average rectangular",
        "pool: AVE kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1",
        (2, 3, 5, 8),
    ),
    ("average global", "pool: AVE global_pooling: true", (2, 3, 5, 4)),
    ("max with mask, pad", "pool: MAX kernel_size: 3 stride: 2 pad: 1", (2, 3, 8, 6), MASK),
    (
        "max with mask, rectangular",
        "pool: MAX kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 2 pad_w: 2 pad_h: 0",
        (2, 3, 8, 7),
        MASK,
    ),
    ("max with mask, ties", "pool: MAX kernel_size: 3 stride: 2 pad: 1", whole(2, 3, 6, 7), MASK),
    ("engine CAFFE", "pool: AVE kernel_size: 2 engine: CAFFE", (2, 3, 4, 5)),
)

# SPP's STOCHASTIC and Pooling's are not on real Caffe's CPU; see tests/engine/layers/test_pooling.py.
CASES += cases(
    "SPP",
    "spp_param { %s }",
    ("one level", "pyramid_height: 1", (2, 3, 5, 4)),
    ("two levels", "pyramid_height: 2", (2, 3, 7, 6)),
    ("three levels", "pyramid_height: 3 pool: MAX", (2, 3, 8, 11)),
    ("three levels average", "pyramid_height: 3 pool: AVE", (2, 3, 11, 7)),
    ("one level average", "pyramid_height: 1 pool: AVE engine: CAFFE", (2, 3, 5, 4)),
    ("ties", "pyramid_height: 2", whole(2, 3, 7, 5)),
)
