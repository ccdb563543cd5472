"""A layer of every type that has a gradient, in any size, for strides.py and stride_pairs.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caffe import TEST, TRAIN

from tests.conformance.layer_case import Bottom, labels


@dataclass(frozen=True)
class Subject:
    """A layer under test.

    Attributes:
        text: the inside of its prototxt, without name, bottoms and tops.
        bottoms: its bottoms for a number of records, channels, rows and columns.
        relu: if true, the ReLU after it is also tried in the same step.
    """

    text: str
    bottoms: Callable[[int, int, int, int], Sequence[Bottom | tuple[int, ...]]] = lambda n, c, h, w: [(n, c, h, w)]
    tops: int = 1
    phase: int = TEST
    relu: bool = False


def _same(times: int):
    return lambda n, c, h, w: [(n, c, h, w)] * times


def _conv(more: str, **options) -> Subject:
    return Subject(f'type: "Convolution" convolution_param {{ num_output: 4 {more} }}', relu=True, **options)


def _deconv(more: str) -> Subject:
    return Subject(f'type: "Deconvolution" convolution_param {{ num_output: 4 {more} }}')


def _pool(more: str, **options) -> Subject:
    return Subject(f'type: "Pooling" pooling_param {{ {more} }}', **options)


def _positive(n, c, h, w):
    return [Bottom((n, c, h, w), 0.25, 2)]


def _image_labels(n, c, h, w):
    return [(n, c, h, w), labels((n, h, w), c)]


def _record_labels(n, c, h, w):
    return [Bottom((n, c, h, w), 0.25, 1), labels((n,), c * h * w)]


SUBJECTS = {
    "AbsVal": Subject('type: "AbsVal"'),
    "BNLL": Subject('type: "BNLL"'),
    "BatchNorm, TEST": Subject('type: "BatchNorm"', relu=True),
    "BatchNorm, TRAIN": Subject('type: "BatchNorm" batch_norm_param { eps: 0.1 }', phase=TRAIN, relu=True),
    "BatchReindex": Subject('type: "BatchReindex"', lambda n, c, h, w: [(n, c, h, w), labels((2,), n)]),
    "Bias": Subject('type: "Bias"'),
    "Bias, given": Subject('type: "Bias"', lambda n, c, h, w: [(n, c, h, w), (c, h)]),
    "Clip": Subject('type: "Clip" clip_param { min: -0.5 max: 0.75 }'),
    "Concat, channels": Subject('type: "Concat"', lambda n, c, h, w: [(n, c, h, w), (n, 1, h, w)]),
    "Concat, records": Subject('type: "Concat" concat_param { axis: 0 }', lambda n, c, h, w: [(n, c, h, w), (1, c, h, w)]),
    "Concat, columns": Subject('type: "Concat" concat_param { axis: 3 }', lambda n, c, h, w: [(n, c, h, w), (n, c, h, 1)]),
    "ContrastiveLoss": Subject(
        'type: "ContrastiveLoss"', lambda n, c, h, w: [(n, c, 1, 1), (n, c, 1, 1), labels((n,), 2)]
    ),
    "Convolution, 1 x 1": _conv("kernel_size: 1"),
    "Convolution, 1 x 1 with steps": _conv("kernel_size: 1 stride: 2"),
    "Convolution, 1 x 1, no bias": _conv("kernel_size: 1 bias_term: false"),
    "Convolution, 3 x 3": _conv("kernel_size: 3 pad: 1"),
    "Convolution, 2 x 3 with steps": _conv("kernel_h: 2 kernel_w: 3 pad: 1 stride: 2"),
    "Convolution, dilated": _conv("kernel_size: 3 pad: 2 dilation: 2"),
    "Convolution, groups": Subject(
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 }',
        lambda n, c, h, w: [(n, 2 * c, h, w)],
        relu=True,
    ),
    "Convolution, 1 x 1 groups": Subject(
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 group: 2 }',
        lambda n, c, h, w: [(n, 2 * c, h, w)],
        relu=True,
    ),
    "Convolution, one output": Subject(
        'type: "Convolution" convolution_param { num_output: 1 kernel_size: 3 pad: 1 }', relu=True
    ),
    "Convolution, one axis": Subject(
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 1 }', lambda n, c, h, w: [(n, c, h)]
    ),
    "Convolution, three axes": Subject(
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 1 }',
        lambda n, c, h, w: [(n, c, 2, h, w)],
    ),
    "Convolution, axis 2": Subject(
        'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 1 axis: 2 }',
        lambda n, c, h, w: [(n, 2, c, h, w)],
    ),
    "Crop": Subject(
        'type: "Crop" crop_param { axis: 1 }', lambda n, c, h, w: [(n, c + 1, h + 2, w), Bottom((n, c, h, w), gradient=False)]
    ),
    "Deconvolution, 1 x 1": _deconv("kernel_size: 1"),
    "Deconvolution, 3 x 3": _deconv("kernel_size: 3 pad: 1"),
    "Deconvolution, 4 x 4 with steps": _deconv("kernel_size: 4 pad: 1 stride: 2"),
    "Deconvolution, groups": Subject(
        'type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 2 stride: 2 group: 2 }',
        lambda n, c, h, w: [(n, 2 * c, h, w)],
    ),
    "Dropout, TEST": Subject('type: "Dropout"'),
    "ELU": Subject('type: "ELU" elu_param { alpha: 0.5 }'),
    "Eltwise, sum": Subject('type: "Eltwise"', _same(2)),
    "Eltwise, coefficients": Subject('type: "Eltwise" eltwise_param { coeff: 1 coeff: -0.5 }', _same(2)),
    "Eltwise, product": Subject('type: "Eltwise" eltwise_param { operation: PROD }', _same(3)),
    "Eltwise, product by division": Subject(
        'type: "Eltwise" eltwise_param { operation: PROD stable_prod_grad: false }',
        lambda n, c, h, w: [Bottom((n, c, h, w), 0.5, 2)] * 2,
    ),
    "Eltwise, maximum": Subject('type: "Eltwise" eltwise_param { operation: MAX }', _same(3)),
    "Embed": Subject(
        'type: "Embed" embed_param { input_dim: 7 num_output: 5 }', lambda n, c, h, w: [labels((n, c, h, w), 7)]
    ),
    "EuclideanLoss": Subject('type: "EuclideanLoss"', _same(2)),
    "Exp": Subject('type: "Exp" exp_param { base: 2 scale: 0.5 }'),
    "Filter": Subject('type: "Filter"', lambda n, c, h, w: [(n, c, h, w), Bottom((n,), 1, 1, gradient=False)]),
    "Flatten": Subject('type: "Flatten"'),
    "HingeLoss, L1": Subject('type: "HingeLoss"', _record_labels),
    "HingeLoss, L2": Subject('type: "HingeLoss" hinge_loss_param { norm: L2 }', _record_labels),
    "Im2col": Subject('type: "Im2col" convolution_param { kernel_size: 3 pad: 1 }'),
    "InfogainLoss": Subject(
        'type: "InfogainLoss"', lambda n, c, h, w: [*_image_labels(n, c, h, w), Bottom((1, 1, c, c), gradient=False)]
    ),
    "InnerProduct": Subject('type: "InnerProduct" inner_product_param { num_output: 5 }', relu=True),
    "InnerProduct, transposed": Subject(
        'type: "InnerProduct" inner_product_param { num_output: 5 transpose: true }', relu=True
    ),
    "InnerProduct, axis 2": Subject('type: "InnerProduct" inner_product_param { num_output: 5 axis: 2 }', relu=True),
    "InnerProduct, one output": Subject('type: "InnerProduct" inner_product_param { num_output: 1 }', relu=True),
    "LRN, across": Subject('type: "LRN" lrn_param { local_size: 3 alpha: 0.5 }'),
    "LRN, across many": Subject('type: "LRN" lrn_param { local_size: 7 alpha: 0.5 beta: 0.6 }'),
    "LRN, within": Subject('type: "LRN" lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }'),
    "LSTM": Subject(
        'type: "LSTM" recurrent_param { num_output: 2 }',
        lambda n, c, h, w: [(n, c, h, w), Bottom((n, c), 1, 1, gradient=False)],
    ),
    "LSTMUnit": Subject(
        'type: "LSTMUnit"', lambda n, c, h, w: [(1, n, c), (1, n, 4 * c), Bottom((1, n), 1, 1, gradient=False)], tops=2
    ),
    "Log": Subject('type: "Log" log_param { shift: 2 }'),
    "MVN": Subject('type: "MVN" mvn_param { eps: 0.1 }'),
    "MVN, mean": Subject('type: "MVN" mvn_param { normalize_variance: false }'),
    "MVN, across": Subject('type: "MVN" mvn_param { across_channels: true eps: 0.1 }'),
    "MultinomialLogisticLoss": Subject('type: "MultinomialLogisticLoss"', _record_labels),
    "PReLU": Subject('type: "PReLU"'),
    "PReLU, shared": Subject('type: "PReLU" prelu_param { channel_shared: true }'),
    "Pooling, MAX": _pool("kernel_size: 2 stride: 2"),
    "Pooling, MAX with pad": _pool("kernel_size: 3 stride: 2 pad: 1"),
    "Pooling, MAX with mask": _pool("kernel_size: 2 stride: 1 pad: 1", tops=2),
    "Pooling, MAX of all": _pool("global_pooling: true"),
    "Pooling, AVE": _pool("pool: AVE kernel_size: 2 stride: 2"),
    "Pooling, AVE with pad": _pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"),
    "Pooling, AVE of all": _pool("pool: AVE global_pooling: true"),
    "Pooling, STOCHASTIC": _pool("pool: STOCHASTIC kernel_size: 2 stride: 2", bottoms=_positive),
    "Power": Subject('type: "Power" power_param { power: 2 scale: 0.5 shift: 0.1 }'),
    "Power, 3": Subject('type: "Power" power_param { power: 3 shift: 2 }'),
    "RNN": Subject(
        'type: "RNN" recurrent_param { num_output: 2 }',
        lambda n, c, h, w: [(n, c, h, w), Bottom((n, c), 1, 1, gradient=False), (c, h)],
    ),
    "ReLU": Subject('type: "ReLU"'),
    "ReLU, leaky": Subject('type: "ReLU" relu_param { negative_slope: 0.1 }'),
    "Reduction, SUM": Subject('type: "Reduction" reduction_param { axis: 1 coeff: 0.5 }'),
    "Reduction, ASUM": Subject('type: "Reduction" reduction_param { axis: 2 operation: ASUM }'),
    "Reduction, SUMSQ": Subject('type: "Reduction" reduction_param { axis: 1 operation: SUMSQ }'),
    "Reduction, MEAN": Subject('type: "Reduction" reduction_param { axis: 3 operation: MEAN }'),
    "Reshape": Subject('type: "Reshape" reshape_param { shape { dim: 1 dim: 0 dim: -1 } }'),
    "SPP": Subject('type: "SPP" spp_param { pyramid_height: 1 }'),
    "SPP, two levels": Subject(
        'type: "SPP" spp_param { pyramid_height: 2 pool: AVE }', lambda n, c, h, w: [(n, c, h + 1, w + 1)]
    ),
    "Scale": Subject('type: "Scale"'),
    "Scale with bias": Subject('type: "Scale" scale_param { bias_term: true }'),
    "Scale, given": Subject('type: "Scale"', lambda n, c, h, w: [(n, c, h, w), (c, h)]),
    "Sigmoid": Subject('type: "Sigmoid"'),
    "SigmoidCrossEntropyLoss": Subject(
        'type: "SigmoidCrossEntropyLoss"', lambda n, c, h, w: [(n, c, h, w), Bottom((n, c, h, w), 0, 1, gradient=False)]
    ),
    "Slice, channels": Subject('type: "Slice"', lambda n, c, h, w: [(n, 2 * c, h, w)], tops=2),
    "Slice, records": Subject(
        'type: "Slice" slice_param { axis: 0 slice_point: 1 }', lambda n, c, h, w: [(n + 1, c, h, w)], tops=2
    ),
    "Slice, rows": Subject('type: "Slice" slice_param { axis: 2 slice_point: 1 }', lambda n, c, h, w: [(n, c, h + 1, w)], tops=2),
    "Softmax": Subject('type: "Softmax"'),
    "Softmax, rows": Subject('type: "Softmax" softmax_param { axis: 2 }'),
    "SoftmaxWithLoss": Subject('type: "SoftmaxWithLoss"', _image_labels),
    "SoftmaxWithLoss, rows": Subject(
        'type: "SoftmaxWithLoss" softmax_param { axis: 2 }', lambda n, c, h, w: [(n, c, h, w), labels((n, c, w), h)]
    ),
    "Split": Subject('type: "Split"', tops=2),
    "Swish": Subject('type: "Swish" swish_param { beta: 0.5 }'),
    "TanH": Subject('type: "TanH"'),
    "Tile": Subject('type: "Tile" tile_param { tiles: 2 }'),
    "Tile, records": Subject('type: "Tile" tile_param { axis: 0 tiles: 3 }'),
}  # fmt: skip
