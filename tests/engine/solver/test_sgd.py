"""The update of SGD against a NumPy loop over several steps (float32, relative tolerance 1e-5)."""

import numpy as np
import pytest
from caffe import PrototxtError, SGDSolver, get_solver
from caffe._files import prototxt
from caffe.proto import caffe_pb2

from tests.engine.build import input_layer

NET = (
    input_layer(data=(2, 3))
    + 'layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { lr_mult: 1 decay_mult: 1 } '
    'param { lr_mult: 2 decay_mult: 0 } inner_product_param { num_output: 4 weight_filler { type: "gaussian" } '
    'bias_filler { type: "constant" value: 0.5 } } } '
    'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { lr_mult: 0.1 decay_mult: 3 } '
    'inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }'
)
LR_MULT, DECAY_MULT = (1, 2, 0.1, 1), (1, 0, 3, 1)


def make_solver(text, net=NET):
    if net is not None:
        text = f"net_param {{ {net} }} {text}"
    return get_solver(prototxt.parse(text, caffe_pb2.SolverParameter(), "test"))


def parameters(solver):
    return [blob.data for name in ("a", "b") for blob in solver.net.params[name]]


def update(weights, history, gradients, rate, momentum=0.0, decay=0.0, kind="L2", clip=-1.0, iter_size=1):
    """One step as Caffe takes it; changes weights and history."""
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    for i, gradient in enumerate(gradients):
        g = gradient.astype(np.float64)
        if 0 <= clip < norm:
            g = g * clip / norm
        g = g / iter_size
        g = g + decay * DECAY_MULT[i] * (weights[i] if kind == "L2" else np.sign(weights[i]))
        history[i] = momentum * history[i] + rate * LR_MULT[i] * g
        weights[i] = weights[i] - history[i]


CASES = {
    "plain": ({}, ""),
    "momentum": ({"momentum": 0.9}, "momentum: 0.9"),
    "decay": ({"decay": 0.05}, "weight_decay: 0.05"),
    "L1": ({"decay": 0.05, "kind": "L1"}, 'weight_decay: 0.05 regularization_type: "L1"'),
    "clip": ({"clip": 0.7}, "clip_gradients: 0.7"),
    "clip that does not bite": ({"clip": 100}, "clip_gradients: 100"),
    "all": (
        {"momentum": 0.9, "decay": 0.05, "clip": 0.7, "iter_size": 3},
        "momentum: 0.9 weight_decay: 0.05 clip_gradients: 0.7 iter_size: 3",
    ),
}


@pytest.mark.parametrize("options, text", CASES.values(), ids=CASES)
def test_steps(rng, options, text):
    """Five steps with given gradients; the rate changes by hand after the second (momentum stays)."""
    solver = make_solver(f'base_lr: 0.1 lr_policy: "fixed" {text}')
    assert isinstance(solver, SGDSolver)
    weights = [w.astype(np.float64) for w in parameters(solver)]
    history = [np.zeros_like(w) for w in weights]
    given = [[rng.normal(size=w.shape) for w in weights] for _ in range(5)]

    def write_gradients():
        blobs = [blob for name in ("a", "b") for blob in solver.net.params[name]]
        for blob, gradient in zip(blobs, given[solver.iter], strict=True):
            blob.diff[...] = gradient

    solver.add_callback(lambda: None, write_gradients)
    for iteration, rate in enumerate([0.1, 0.1, 0.01, 0.01, 0.01]):
        solver.param.base_lr = rate
        solver.step(1)
        update(weights, history, given[iteration], rate, **options)
        for found, expected in zip(parameters(solver), weights, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        for found, expected in zip(solver.history, history, strict=True):
            np.testing.assert_allclose(found.numpy() / solver.history_scale, expected, rtol=1e-5, atol=1e-6)
    assert solver.iter == 5


@pytest.mark.parametrize("rate", [0.3, 0.001, 2.5e-6, 1.5e-6, 1e-9])
def test_a_rate_is_exact(rate):
    """Without rounding: small rates too, where 1 - rate has few digits left (1.5e-6 and below are not fused)."""
    solver = make_solver(f'base_lr: {rate} lr_policy: "fixed" momentum: 0.9')
    bias = solver.net.params["b"][1]
    bias.data[...] = 0
    solver.add_callback(lambda: None, lambda: bias.diff.fill(1))
    solver.step(1)
    np.testing.assert_array_equal(bias.data, np.full(5, -np.float32(rate)))
    np.testing.assert_array_equal(bias.diff, np.full(5, np.float32(rate)))


def test_momentum_keeps_its_size_across_a_drop():
    """The step before a drop by ten is not made ten times smaller after it, as torch.optim.SGD would."""
    solver = make_solver('base_lr: 1 lr_policy: "multistep" gamma: 0.1 stepvalue: 1 momentum: 0.5')
    bias = solver.net.params["b"][1]
    solver.add_callback(lambda: None, lambda: bias.diff.fill(1 if solver.iter == 0 else 0))
    solver.step(1)
    first = bias.data.copy()
    solver.step(1)
    np.testing.assert_allclose(bias.data - first, -0.5, rtol=1e-6)


def test_iter_size_averages_passes(rng):
    """iter_size passes over one batch are one pass over it."""
    loss = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss" }'
    net = NET.replace('top: "data"', 'top: "data" top: "label"').replace(
        "shape { dim: 2 dim: 3 }", "shape { dim: 2 dim: 3 } shape { dim: 2 }"
    )
    x, found = rng.normal(size=(2, 3)), []
    for iter_size in (1, 3):
        solver = make_solver(f'base_lr: 0.1 lr_policy: "fixed" random_seed: 5 iter_size: {iter_size}', net + loss)
        solver.net.blobs["data"].data[...], solver.net.blobs["label"].data[...] = x, [1, 4]
        before = [w.copy() for w in parameters(solver)]
        solver.step(2)
        assert all((w != b).any() for w, b in zip(parameters(solver), before, strict=True))
        found.append([w.copy() for w in parameters(solver)])
    for one, three in zip(*found, strict=True):
        np.testing.assert_allclose(three, one, rtol=1e-5, atol=1e-6)


def test_diff_holds_what_was_subtracted(rng):
    solver = make_solver('base_lr: 0.1 lr_policy: "fixed"')
    blob = solver.net.params["a"][0]
    before = blob.data.copy()
    solver.add_callback(lambda: None, lambda: blob.diff.fill(2))
    solver.step(1)
    np.testing.assert_allclose(before - blob.data, blob.diff, rtol=1e-4, atol=1e-6)


def test_lr_line(log_lines):
    solver = make_solver('base_lr: 0.005 lr_policy: "fixed" display: 2')
    solver.step(3)
    assert [line for line in log_lines if ", lr = " in line] == ["Iteration 0, lr = 0.005", "Iteration 2, lr = 0.005"]


@pytest.mark.parametrize("batches", [0, -2])
@pytest.mark.parametrize("test_compute_loss", ["", "test_compute_loss: true"])
def test_a_test_of_no_batches_says_nothing(log_lines, batches, test_compute_loss):
    """Real Caffe trains on too."""
    text = f"test_iter: {batches} test_interval: 1 {test_compute_loss}"
    solver = make_solver(f'base_lr: 0.1 lr_policy: "fixed" max_iter: 2 snapshot_after_train: false {text}')
    solver.solve()
    assert solver.iter == 2 and log_lines.count("Iteration 1, Testing net (#0)") == 1
    assert not [line for line in log_lines if "Test " in line]


@pytest.mark.parametrize(
    "text, message",
    [
        ('type: "Sgd"', "Unknown solver type: Sgd. Did you mean SGD"),
        ("iter_size: 0", "iter_size should be 1 or more"),
        ("average_loss: 0", "average_loss should be 1 or more"),
        ("snapshot: 5", "snapshot_prefix is not"),
        ("test_iter: 3", "test_interval"),
        ("net: 'x.prototxt'", "exactly one of these fields"),
        ("test_net: 'x.prototxt'", "test_iter must be specified"),
    ],
)
def test_refused_when_made(text, message):
    with pytest.raises(PrototxtError, match=message):
        make_solver(f'base_lr: 1 lr_policy: "fixed" {text}')


def test_unknown_regularization():
    solver = make_solver('base_lr: 1 lr_policy: "fixed" weight_decay: 1 regularization_type: "L3"')
    with pytest.raises(PrototxtError, match="Unknown regularization type: L3"):
        solver.step(1)
