"""RNN, LSTM and LSTMUnit against loops over steps and streams (float64, tolerance 1e-12), and through a net's passes."""

import json

import caffe
import numpy as np
import pytest
import torch
from caffe import CaffeError

from tests.engine.build import forward, input_layer, make_layer, make_net, weights_of
from tests.engine.gradient_check import check_gradient

FILLED = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 }'
STEPS, STREAMS, OUTPUTS = 4, 3, 2
X, STATIC, STATE = (STEPS, STREAMS, 5, 2), (STREAMS, 6), (1, STREAMS, OUTPUTS)


def recurrent(type_, *bottom, options="", tops=1):
    text = f'type: "{type_}" recurrent_param {{ num_output: {OUTPUTS} {FILLED} {options} }}'
    return make_layer(text, *bottom, tops=tops)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn(x, cont, static, state, weights):
    """One stream: outputs (steps, outputs) and the state after them."""
    of_x, bias, *of_static, of_hidden, of_output, output_bias = weights
    (hidden,), outputs = state, []
    for step in range(len(x)):
        total = of_x @ x[step].ravel() + bias + of_hidden @ (cont[step] * hidden)
        if of_static:
            total += of_static[0] @ static
        hidden = np.tanh(total)
        outputs.append(np.tanh(of_output @ hidden + output_bias))
    return np.array(outputs), [hidden]


def lstm(x, cont, static, state, weights):
    of_x, bias, *of_static, of_hidden = weights
    (hidden, cell), outputs = state, []
    for step in range(len(x)):
        total = of_x @ x[step].ravel() + bias + of_hidden @ (cont[step] * hidden)
        if of_static:
            total += of_static[0] @ static
        i, f, o, g = np.split(total, 4)
        cell = cont[step] * sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.array(outputs), [hidden, cell]


TYPES = {"RNN": (rnn, 1), "LSTM": (lstm, 2)}


def streams(type_, x, cont, static, states, weights):
    """All streams: the outputs and the states, each (1, streams, outputs)."""
    each = [
        TYPES[type_][0](x[:, n], cont[:, n], static[n], [state[0, n] for state in states], weights)
        for n in range(x.shape[1])
    ]
    outputs, last = zip(*each, strict=True)
    return np.stack(outputs, 1), [np.stack(state)[None] for state in zip(*last, strict=True)]


@pytest.fixture
def sequence(rng):
    cont = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1], [1, 0, 0]], np.float64)
    return rng.normal(size=X), cont, rng.normal(size=STATIC)


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("with_static", [False, True])
def test_values_and_gradient(sequence, type_, with_static):
    bottoms = sequence if with_static else sequence[:2]
    layer = recurrent(type_, *(b.shape for b in bottoms))
    zero = [np.zeros(STATE)] * TYPES[type_][1]
    expected, _ = streams(type_, *sequence, zero, weights_of(layer))
    np.testing.assert_allclose(forward(layer, *bottoms)[0], expected, rtol=1e-12)
    check_gradient(layer, *bottoms, of=[i for i in range(len(bottoms)) if i != 1])


@pytest.mark.parametrize("type_", TYPES)
def test_exposed_state(rng, sequence, type_):
    count = TYPES[type_][1]
    given = [rng.normal(size=STATE) for _ in range(count)]
    bottoms = (*sequence, *given)
    layer = recurrent(type_, *(b.shape for b in bottoms), options="expose_hidden: true", tops=1 + count)
    output, *states = forward(layer, *bottoms)
    expected, last = streams(type_, *sequence, given, weights_of(layer))
    np.testing.assert_allclose(output, expected, rtol=1e-12)
    for state, values in zip(states, last, strict=True):
        np.testing.assert_allclose(state, values, rtol=1e-12)
    # As in real Caffe no gradient passes through them.
    assert [top.requires_grad for top in layer.forward(
        [torch.tensor(b, requires_grad=True) for b in bottoms], [torch.tensor(w) for w in weights_of(layer)]
    )] == [True] + [False] * count  # fmt: skip


def test_parameters_have_caffes_order_and_shapes():
    shapes = [[blob.shape for blob in recurrent(t, X, X[:2], STATIC).blobs] for t in ("RNN", "LSTM")]
    assert shapes == [[[2, 10], [2], [2, 6], [2, 2], [2, 2], [2]], [[8, 10], [8], [8, 6], [8, 2]]]


def net(type_, streams=STREAMS, phase=caffe.TRAIN):
    text = input_layer(x=(2, streams, 4), cont=(2, streams)) + (
        f'force_backward: true layer {{ name: "r" type: "{type_}" bottom: "x" bottom: "cont" top: "r" '
        f"recurrent_param {{ num_output: {OUTPUTS} {FILLED} }} }}"
    )
    made = make_net(text, phase)
    made.blobs["cont"].data[...] = 1
    return made


def passes(made, xs):
    outputs = []
    for x in xs:
        made.blobs["x"].data[...] = x
        outputs.append(made.forward()["r"].copy())
    return np.concatenate(outputs)


@pytest.mark.parametrize("type_", TYPES)
def test_a_pass_continues_where_the_last_ended(rng, type_):
    made = net(type_)
    x = rng.normal(size=(3, 2, STREAMS, 4)).astype(np.float32)
    found = passes(made, x)
    weights = [blob.data.astype(np.float64) for blob in made.params["r"]]
    zero = [np.zeros(STATE)] * TYPES[type_][1]
    flat = x.reshape(6, STREAMS, 4)
    expected, _ = streams(type_, flat, np.ones(flat.shape[:2]), np.zeros((STREAMS, 1)), zero, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("type_", TYPES)
def test_backward_that_computes_forward_again_starts_from_the_same_state(rng, type_):
    made = net(type_)
    x = rng.normal(size=(3, 2, STREAMS, 4)).astype(np.float32)
    outputs, gradients = [], []
    for record in (True, False):
        fresh = net(type_)
        fresh.share_with(made)
        passes(fresh, x[:1])
        fresh.blobs["x"].data[...] = x[1]
        fresh._forward(0, 1, record=record)
        fresh.blobs["r"].diff[...] = 1
        gradients.append(fresh.backward(diffs=["x"])["x"].copy())
        outputs.append(passes(fresh, x[2:]))
    np.testing.assert_array_equal(*gradients)
    np.testing.assert_array_equal(*outputs)
    assert gradients[0].any()


def test_a_snapshot_keeps_the_state(rng):
    first, second = net("LSTM"), net("LSTM")
    second.share_with(first)
    x = rng.normal(size=(2, 2, STREAMS, 4)).astype(np.float32)
    passes(first, x[:1])
    assert net("LSTM").layers[1].get_state() is None
    second.layers[1].set_state(json.loads(json.dumps(first.layers[1].get_state())))
    np.testing.assert_array_equal(passes(second, x[1:]), passes(first, x[1:]))


def test_the_number_of_streams_may_change(rng):
    made = net("RNN")
    passes(made, rng.normal(size=(1, 2, STREAMS, 4)))
    for count in (2, 5):
        made.blobs["x"].reshape(2, count, 4)
        made.blobs["cont"].reshape(2, count)
        made.blobs["cont"].data[...] = 1
        assert passes(made, rng.normal(size=(1, 2, count, 4))).shape == (2, count, OUTPUTS)


def test_unit_values_and_gradient(rng):
    cell, gates, cont = rng.normal(size=(1, 3, 5)), rng.normal(size=(1, 3, 20)), np.array([[1.0, 0, 1]])
    layer = make_layer('type: "LSTMUnit"', cell.shape, gates.shape, cont.shape, tops=2)
    i, f, o, g = np.split(gates, 4, axis=2)
    new = cont[..., None] * sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    for top, expected in zip(forward(layer, cell, gates, cont), (new, sigmoid(o) * np.tanh(new)), strict=True):
        np.testing.assert_allclose(top, expected, rtol=1e-12)
    check_gradient(layer, cell, gates, cont, of=[0, 1])


@pytest.mark.parametrize(
    "bottoms, message",
    [
        (((4, 3), (4, 3)), "3 axes or more"),
        (((4, 3, 5), (3, 4)), "bottom 1 must have the shape"),
        (((4, 3, 5), (4, 3), (2, 6)), "bottom 2 must have the shape"),
        (((4, 3, 5),), "takes 2 to 3 bottom"),
    ],
)
@pytest.mark.parametrize("type_", TYPES)
def test_refused(type_, bottoms, message):
    with pytest.raises(CaffeError, match=message):
        recurrent(type_, *bottoms)


def test_other_refusals():
    with pytest.raises(CaffeError, match="num_output"):
        make_layer('type: "LSTM"', (4, 3, 5), (4, 3))
    with pytest.raises(CaffeError, match="number of steps changed"):
        recurrent("RNN", (4, 3, 5), (4, 3)).top_shapes([(2, 3, 5), (2, 3)])
    with pytest.raises(CaffeError, match="bottom 2 must have the shape"):
        recurrent("RNN", (4, 3, 5), (4, 3), (1, 3, 7), options="expose_hidden: true", tops=2)
    with pytest.raises(CaffeError, match="bottoms must have the shapes"):
        make_layer('type: "LSTMUnit"', (1, 3, 5), (1, 3, 10), (1, 3), tops=2)
