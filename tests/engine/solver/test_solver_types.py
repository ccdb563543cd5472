"""Each solver type's update against its formula in float64, element by element over several steps."""

import numpy as np
import pytest
from caffe import PrototxtError, SnapshotError, get_solver
from caffe._files import prototxt
from caffe._net.whole_net import WholeNet
from caffe.proto import caffe_pb2

from tests.engine.solver.test_sgd import LR_MULT, make_solver, parameters

DELTA = 1e-3


def nesterov(g, h, rate, step):
    new = 0.7 * h[0] + rate * g
    update = 1.7 * new - 0.7 * h[0]
    return update, [new]


def adagrad(g, h, rate, step):
    total = h[0] + g**2
    return rate * g / (np.sqrt(total) + DELTA), [total]


def rmsprop(g, h, rate, step):
    mean = 0.8 * h[0] + 0.2 * g**2
    return rate * g / (np.sqrt(mean) + DELTA), [mean]


def adadelta(g, h, rate, step):
    squares = 0.7 * h[0] + 0.3 * g**2
    update = g * np.sqrt((h[1] + DELTA) / (squares + DELTA))
    return rate * update, [squares, 0.7 * h[1] + 0.3 * update**2]


def adam(g, h, rate, step):
    mean, squares = 0.7 * h[0] + 0.3 * g, 0.9 * h[1] + 0.1 * g**2
    corrected = np.sqrt(1 - 0.9**step) / (1 - 0.7**step)
    return rate * corrected * mean / (np.sqrt(squares) + DELTA), [mean, squares]


TYPES = {
    "Nesterov": (nesterov, "momentum: 0.7"),
    "AdaGrad": (adagrad, "delta: 1e-3"),
    "RMSProp": (rmsprop, "rms_decay: 0.8 delta: 1e-3"),
    "AdaDelta": (adadelta, "momentum: 0.7 delta: 1e-3"),
    "Adam": (adam, "momentum: 0.7 momentum2: 0.9 delta: 1e-3"),
}
COMMON = 'base_lr: 0.1 lr_policy: "fixed"'


def drive(solver, gradients):
    """Let the solver take these gradients, one list for each iteration."""
    blobs = [blob for name in ("a", "b") for blob in solver.net.params[name]]

    def write():
        for blob, gradient in zip(blobs, gradients[solver.iter], strict=True):
            blob.diff[...] = gradient

    solver.add_callback(lambda: None, write)


@pytest.mark.parametrize("name", TYPES)
def test_steps(name, rng):
    formula, text = TYPES[name]
    solver = make_solver(f'type: "{name}" {COMMON} {text}')
    assert solver.type == name
    weights = [w.astype(np.float64) for w in parameters(solver)]
    count, histories = len(weights), len(solver.history) // len(weights)
    history = [[np.zeros_like(w) for _ in range(histories)] for w in weights]
    given = [[rng.normal(size=w.shape) for w in weights] for _ in range(5)]
    drive(solver, given)
    for iteration, rate in enumerate([0.1, 0.1, 0.01, 0.01, 0.01]):
        solver.param.base_lr = rate
        solver.step(1)
        for i in range(count):
            update, history[i] = formula(given[iteration][i], history[i], rate * LR_MULT[i], iteration + 1)
            weights[i] -= update
        for found, expected in zip(parameters(solver), weights, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)
        # The order of a .solverstate: the first history of every parameter, then the second of every one.
        in_order = [history[i][part] for part in range(histories) for i in range(count)]
        for found, expected in zip(solver.history, in_order, strict=True):
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TYPES)
def test_resumes_from_a_snapshot(name, rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = f'type: "{name}" {COMMON} {TYPES[name][1]} snapshot_prefix: "run"'
    solver = make_solver(text)
    given = [[rng.normal(size=w.shape) for w in parameters(solver)] for _ in range(7)]
    drive(solver, given)
    solver.step(4)
    solver.snapshot()
    state = caffe_pb2.SolverState.FromString((tmp_path / "run_iter_4.solverstate").read_bytes())
    assert len(state.history) == len(solver.history)
    solver.step(3)
    resumed = make_solver(text)
    drive(resumed, given)
    resumed.restore("run_iter_4.solverstate")
    resumed.step(3)
    for found, expected in zip(parameters(resumed), parameters(solver), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_snapshot_of_another_type_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = make_solver(f'type: "Adam" {COMMON} momentum: 0.7 snapshot_prefix: "run"')
    solver.step(1)
    solver.snapshot()
    with pytest.raises(SnapshotError, match="another net or solver type"):
        make_solver(COMMON).restore("run_iter_1.solverstate")


@pytest.mark.parametrize(
    "text, message",
    [
        ('type: "AdaGrad" momentum: 0.9', "Momentum cannot be used with AdaGrad"),
        ('type: "RMSProp" momentum: 0.9', "Momentum cannot be used with RMSProp"),
        ('type: "RMSProp" rms_decay: 1', "rms_decay should lie between 0 and 1"),
        ('type: "RMSProp" rms_decay: -0.1', "rms_decay should lie between 0 and 1"),
        ('type: "Adam" momentum: 1', "momentum must be below 1"),
        ('type: "Nestorov"', "Unknown solver type: Nestorov. Did you mean Nesterov"),
    ],
)
def test_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        make_solver(f"{COMMON} {text}")


@pytest.mark.parametrize("field", ["net_param", "train_net_param", "test_net_param"])
def test_an_inline_net_of_v1(field):
    """Without an upgrade its layers would be overlooked, and nothing would be trained."""
    net = """layers { name: "data" type: DUMMY_DATA top: "x" dummy_data_param { num: 2 channels: 3 height: 1 width: 1
             data_filler { value: 1 } } } layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "y"
             blobs_lr: 0.25 inner_product_param { num_output: 4 weight_filler { value: 2 } } }"""
    others = {"net_param": "", "train_net_param": "", "test_net_param": f"net_param {{ {net} }}"}
    tests = "test_iter: 1 test_interval: 1" if field == "test_net_param" else ""
    solver = make_solver(f"{others[field]} {field} {{ {net} }} {tests} base_lr: 0.1 lr_policy: 'fixed'", net=None)
    for made in [solver.net, *solver.test_nets]:
        assert list(made.params) == ["ip"] and made.forward()["y"].tolist() == [[6] * 4] * 2
    assert len(solver.test_nets) == (field == "test_net_param")


TWO = """
layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } }
layer { name: "q" type: "Parameter" top: "q" parameter_param { shape { dim: 2 } } }
layer { name: "t" type: "Parameter" top: "t" parameter_param { shape { dim: 2 } } param { lr_mult: 0 decay_mult: 0 } }
layer { name: "s" type: "Eltwise" bottom: "p" bottom: "q" top: "s" }
layer { name: "l" type: "EuclideanLoss" bottom: "s" bottom: "t" top: "l" }
"""
# p and q after three steps on real Caffe.
OF_REAL_CAFFE = {
    "SGD: momentum: 0.9 weight_decay: 0.3": [1.82961, 0.98604, -0.67837, 0.77704],
    "SGD: clip_gradients: 0.5": [1.09244, 0.552, -1.90756, 0.302],
    'SGD: regularization_type: "L1" weight_decay: 0.2': [1.482, 0.75067, -1.398, 0.50068],
    "Nesterov: momentum: 0.9 weight_decay: 0.3": [2.02302, 1.11499, -0.28956, 0.92228],
    "AdaGrad: weight_decay: 0.1": [1.22347, 0.71932, -1.77582, 0.46955],
    "RMSProp: rms_decay: 0.9 weight_decay: 0.1": [1.68255, 1.12752, -1.30859, 0.88095],
    "AdaDelta: momentum: 0.9 delta: 1e-3 weight_decay: 0.1": [1.03056, 0.53039, -1.96942, 0.2804],
    "Adam: momentum: 0.9 momentum2: 0.999 weight_decay: 0.1": [1.29925, 0.79836, -1.70062, 0.54841],
}


@pytest.mark.parametrize("keep_blobs", [True, False])
@pytest.mark.parametrize("kind", OF_REAL_CAFFE)
def test_parameters_of_one_gradient(kind, keep_blobs):
    """Autograd gives both one tensor as gradient; the update rules overwrite it and need two."""
    name, options = kind.split(": ", 1)
    solver = make_solver(f'type: "{name}" base_lr: 0.1 lr_policy: "fixed" {options}', TWO)
    solver.keep_blobs = keep_blobs
    assert WholeNet.fits(solver.net)
    p, q, t = (solver.net.params[name][0].data for name in "pqt")
    p[...], q[...], t[...] = [1, 0.5], [-2, 0.25], 3
    solver.step(3)
    np.testing.assert_allclose([*p, *q], OF_REAL_CAFFE[kind], atol=2e-5)


@pytest.mark.parametrize("keep_blobs", [True, False])
def test_a_gradient_that_is_one_number_repeated(keep_blobs):
    net = """layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 3 } } }
             layer { name: "sum" type: "Reduction" bottom: "p" top: "sum" loss_weight: 2 }"""
    solver = make_solver("base_lr: 0.1 lr_policy: 'fixed' momentum: 0.5 weight_decay: 0.1", net)
    solver.keep_blobs = keep_blobs
    solver.net.params["p"][0].data[...] = [1, 2, 3]
    solver.step(1)
    np.testing.assert_allclose(solver.net.params["p"][0].data, [0.79, 1.78, 2.77], rtol=1e-6)


def test_each_type_is_a_class_of_pycaffe():
    import caffe

    for name in TYPES:
        made = getattr(caffe, f"{name}Solver")
        assert made is type(get_solver(prototxt.parse(
            f'type: "{name}" net_param {{ name: "empty" }}', caffe_pb2.SolverParameter(), "test"
        )))  # fmt: skip


@pytest.mark.parametrize("options", ["", "iter_size: 2 clip_gradients: 1"])
@pytest.mark.parametrize("name", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_a_net_without_parameters_trains(name, options):
    """As on real Caffe, the net has a loss and nothing to learn."""
    shape = "shape { dim: 2 dim: 3 }"
    text = f"""net_param {{ layer {{ name: "data" type: "DummyData" top: "a" top: "b"
                 dummy_data_param {{ {shape} {shape} data_filler {{ value: 1 }} data_filler {{ value: 3 }} }} }}
               layer {{ name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "loss" }} }}
               base_lr: 0.1 lr_policy: "fixed" max_iter: 3 type: "{name}" {options}"""
    solver = get_solver(prototxt.parse(text, caffe_pb2.SolverParameter(), "test"))
    solver.step(3)
    assert solver.iter == 3 and solver.net.blobs["loss"].data == 6
