"""NaN and infinities: values and gradients beside those of real Caffe, recorded here."""

import numpy as np
import pytest
from caffe._net.whole_net import WholeNet
from caffe.proto import caffe_pb2

from tests.engine.build import input_layer, make_net

nan, inf = float("nan"), float("inf")
LOWEST = -float(np.finfo(np.float32).max)

VECTOR = [[1, nan, -2, inf, -inf, 0.5]]
MAP = [[[[nan, 3, -inf, -inf], [1, 2, -inf, nan], [5, nan, nan, 4]]]]
VECTORS = [*VECTOR, [nan, 1, 2, 1, nan, nan], [3, nan, 7, 5, nan, 6], [nan] * 6]
BOTTOMS = {"Pooling": MAP, "SPP": MAP, "ArgMax": VECTORS}

ONE_BOTTOM = [  # type, fields, tops, the bottom's gradient where the top's is 1
    ("Pooling", "pooling_param { pool: MAX kernel_size: 2 }", [[3, 3, LOWEST, 5, 2, 4]], None),
    ("Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }", [[3, LOWEST, 5, 4]], None),
    ("Pooling", "pooling_param { pool: MAX kernel_size: 3 pad: 1 stride: 2 }", [[3, 3, LOWEST, 5, 4, 4]], None),
    ("Pooling", "pooling_param { pool: MAX global_pooling: true }", [[5]], None),
    ("Pooling", "pooling_param { pool: MAX kernel_size: 2 }", [[3, 3, LOWEST, 5, 2, 4], [1, 1, -1, 8, 5, 11]], None),
    ("Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }", [[3, LOWEST, 5, 4], [1, -1, 8, 11]], None),
    (
        "Pooling",
        "pooling_param { pool: MAX kernel_size: 3 pad: 1 stride: 2 }",
        [[3, 3, LOWEST, 5, 4, 4], [1, 1, -1, 8, 11, 11]],
        None,
    ),
    ("Pooling", "pooling_param { pool: MAX global_pooling: true }", [[5], [8]], None),
    ("SPP", "spp_param { pool: MAX pyramid_height: 2 }", [[5, 3, LOWEST, 5, 4]], None),
    ("Clip", "clip_param { min: -1 max: 2 }", [[1, -1, -1, 2, -1, 0.5]], [1, 0, 0, 0, 0, 1]),
    ("Clip", "clip_param { min: 3 max: 4 }", [[3, 3, 3, 4, 3, 3]], [0, 0, 0, 0, 0, 0]),
    ("Power", "power_param { power: 0.5 }", [[1, nan, nan, inf, inf, 0.707107]], [0.5, nan, nan, nan, nan, 0.707107]),
    ("Power", "power_param { power: -0.5 }", [[1, nan, nan, 0, 0, 1.414214]], [-0.5, nan, nan, -0, 0, -1.414214]),
    (
        "Power",
        "power_param { power: 0.5 scale: 2 shift: 1 }",
        [[1.732051, nan, nan, inf, inf, 1.414214]],
        [0.57735, nan, nan, nan, nan, 0.707107],
    ),
    ("Power", "power_param { scale: 0 shift: 2 }", [[2, 2, 2, 2, 2, 2]], [0, 0, 0, 0, 0, 0]),
    ("Power", "power_param { power: 3 scale: 0 shift: 2 }", [[8, 8, 8, 8, 8, 8]], [0, 0, 0, 0, 0, 0]),
    ("Power", "power_param { power: 0 }", [[1, 1, 1, 1, 1, 1]], [0, 0, 0, 0, 0, 0]),
    ("Power", "power_param { power: -1 scale: 0 }", [[inf, inf, inf, inf, inf, inf]], [0, 0, 0, 0, 0, 0]),
    ("ELU", "", [[1, nan, -0.864665, inf, -1, 0.5]], [1, nan, 0.135335, nan, 0, 1]),
    ("ArgMax", "argmax_param {  }", [[3, 5, 5, 5]], None),
    ("ArgMax", "argmax_param { axis: 1 }", [[3, 5, 5, 5]], None),
    ("ArgMax", "argmax_param { top_k: 3 }", [[3, 5, 2, 5, 4, 2, 4, 2, 5, 5, 4, 3]], None),
    (
        "ArgMax",
        "argmax_param { axis: 1 top_k: 3 out_max_val: true }",
        [[inf, 0.5, -2, nan, nan, 2, nan, 7, 6, nan, nan, nan]],
        None,
    ),
    (
        "ArgMax",
        "argmax_param { top_k: 6 out_max_val: true }",
        [
            [
                3,
                0,
                5,
                2,
                4,
                1,
                inf,
                1,
                0.5,
                -2,
                -inf,
                nan,
                5,
                4,
                2,
                3,
                1,
                0,
                nan,
                nan,
                2,
                1,
                1,
                nan,
                2,
                5,
                4,
                3,
                1,
                0,
                7,
                6,
                nan,
                5,
                nan,
                3,
                5,
                4,
                3,
                2,
                1,
                0,
                nan,
                nan,
                nan,
                nan,
                nan,
                nan,
            ]
        ],
        None,
    ),
    ("ArgMax", "argmax_param { axis: 1 out_max_val: true }", [[inf, nan, 6, nan]], None),
]


def run(text: str, bottoms: dict[str, list], tops: int, force: bool):
    """A net of one layer after forward, and backward from tops' gradients of 1 if ``force``."""
    arrays = {name: np.array(values, np.float32) for name, values in bottoms.items()}
    shapes = input_layer(**{name: array.shape for name, array in arrays.items()})
    names = [f'bottom: "{name}"' for name in arrays] + [f'top: "y{i}"' for i in range(tops)]
    net = make_net(
        ("force_backward: true " if force else "") + shapes + f"layer {{ name: 'l' {text} {' '.join(names)} }}"
    )
    for name, array in arrays.items():
        net.blobs[name].data[...] = array
    net.forward()
    if force:
        net.blobs["y0"].diff[...] = 1
        net.backward()
    return net


def check(net, tops: list[list], gradients: dict[str, list]):
    for i, top in enumerate(tops):
        np.testing.assert_allclose(net.blobs[f"y{i}"].data.ravel(), np.float32(top), rtol=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(net.blobs[name].diff.ravel(), gradient, rtol=1e-5)


@pytest.mark.parametrize("kind, fields, tops, gradient", ONE_BOTTOM)
def test_one_bottom(kind, fields, tops, gradient):
    net = run(f'type: "{kind}" {fields}', {"x": BOTTOMS.get(kind, VECTOR)}, len(tops), gradient is not None)
    check(net, tops, {} if gradient is None else {"x": gradient})


@pytest.mark.parametrize("coeff, top, of_x, of_z", [
    ((0, 1), [nan, 4, 1, nan, 5, -inf], 0, 1),
    ((1, 0), [1, nan, 2, -1, inf, 0], 1, 0),
    ((0, 0), [0] * 6, 0, 0),
])  # fmt: skip
def test_a_coefficient_of_0_reads_nothing(coeff, top, of_x, of_z):
    bottoms = {"x": [1, nan, 2, -1, inf, 0], "z": [nan, 4, 1, nan, 5, -inf]}
    net = run(f'type: "Eltwise" eltwise_param {{ coeff: {coeff[0]} coeff: {coeff[1]} }}', bottoms, 1, True)
    check(net, [top], {"x": [of_x] * 6, "z": [of_z] * 6})


@pytest.mark.parametrize(
    "norm, loss, gradient", [("L1", 3, [0, 0.5, 0, 0.5, 0, -0.5]), ("L2", 6.75, [0, 1.5, 0, 3, 0, -1.5])]
)
def test_hinge_loss(norm, loss, gradient):
    bottoms = {"x": [[nan, 0.5, -3], [2, nan, -0.5]], "z": [0, 2]}
    net = run(f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', bottoms, 1, True)
    check(net, [[loss]], {"x": gradient})


# Windows of numbers and NaN, of NaN alone, of numbers alone: the greatest number has the gradient, NaN none.
POOLED = [[[[nan, 3, nan, nan, 7, 6], [1, 2, nan, -inf, 5, 4]]]]
POOLED_GRADIENT = [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("tops", [1, 2])
@pytest.mark.parametrize("kernel", ["kernel_size: 2 stride: 2", "kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 1 pad_w: 0"])
def test_gradient_of_max_pooling(kernel, tops):
    """Real Caffe's values, except for a window without a number: there it writes before the map."""
    net = run(f'type: "Pooling" pooling_param {{ pool: MAX {kernel} }}', {"x": POOLED}, tops, True)
    y = net.blobs["y0"]
    want = [3, LOWEST, 7] if y.shape[2] == 1 else [3, LOWEST, 7, 2, LOWEST, 5]
    np.testing.assert_array_equal(y.data.ravel(), np.float32(want))
    gradient = POOLED_GRADIENT if y.shape[2] == 1 else [0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0]
    np.testing.assert_array_equal(net.blobs["x"].diff.ravel(), gradient)


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
def test_max_pooling_in_both_passes(phase):
    """The command's pass over a whole net gives what the pass layer by layer gives."""
    dims = " ".join(f"dim: {d}" for d in np.shape(POOLED))
    net = make_net(f"""
        layer {{ name: "x" type: "Parameter" top: "x" parameter_param {{ shape {{ {dims} }} }} }}
        layer {{ name: "y" type: "Pooling" bottom: "x" top: "y" pooling_param {{ kernel_size: 2 stride: 2 }} }}
        layer {{ name: "c" type: "Clip" bottom: "y" top: "c" clip_param {{ min: -9 max: 9 }} }}
        layer {{ name: "loss" type: "Reduction" bottom: "c" top: "loss" loss_weight: 1 }}""", phase=phase)  # fmt: skip
    (x,) = net.params["x"]
    x.data[...] = POOLED
    net.forward()
    net.backward()
    assert net.blobs["loss"].data == 3 + 7 - 9
    want = np.array([0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], np.float32)
    np.testing.assert_array_equal(x.diff.ravel(), want)
    net.clear_param_diffs()
    assert WholeNet.fits(net) and float(WholeNet(net).forward_backward()) == 1
    np.testing.assert_array_equal(x.diff.ravel(), want)


def test_maxima_whose_sum_overflows():
    x = np.full((1, 1, 2, 6), 3e38, np.float32)
    net = run('type: "Pooling" pooling_param { kernel_size: 2 }', {"x": x}, 1, True)
    np.testing.assert_array_equal(net.blobs["y0"].data.ravel(), np.full(5, 3e38, np.float32))
    assert net.blobs["x"].diff.sum() == 5


def test_argmax_beside_nan_is_that_of_records_without(rng):
    """Only vectors with NaN are sorted again."""
    x = rng.normal(size=(5, 7)).astype(np.float32)
    fields = 'type: "ArgMax" argmax_param { top_k: 4 out_max_val: true }'
    clean = run(fields, {"x": x}, 1, False).blobs["y0"].data.copy()
    x[2, 3] = nan
    mixed = run(fields, {"x": x}, 1, False).blobs["y0"].data
    rows = [0, 1, 3, 4]
    np.testing.assert_array_equal(mixed[rows], clean[rows])
