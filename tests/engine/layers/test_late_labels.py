"""Labels written between forward and backward count in the gradient, as in real Caffe, whose losses read them there.

Real Caffe's values for these and all other blobs are in tests/conformance/test_changes.py.
"""

import caffe
import numpy as np
import pytest
from caffe import CaffeError

from tests.engine.build import input_layer, make_net

CLASSES = 4
SPATIAL = {"scores": (3, CLASSES, 2, 5), "label": (3, 2, 5)}
ROWS = {"scores": (6, CLASSES), "label": (6,)}
MODES = [f"normalization: {mode}" for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")]
IGNORE = "ignore_label: 1"


def make(kind, more, shapes, between="", label="label"):
    inputs = "".join(f' bottom: "{name if name != "label" else label}"' for name in shapes)
    loss = f'layer {{ name: "loss" type: "{kind}"{inputs} top: "loss" loss_weight: 1.5 {more} }}'
    return make_net("force_backward: true " + input_layer(**shapes) + between + loss)


def fill(net, rng, **given):
    for name in net.inputs:
        blob = net.blobs[name]
        blob.data[...] = given[name] if name in given else rng.normal(size=blob.data.shape)


def gradient(net, of="scores"):
    net.backward()
    return net.blobs[of].diff.copy()


def late_and_again(net, rng, old, new, **given):
    """Gradients for labels ``new``: written after a forward pass with ``old``, then after another forward."""
    fill(net, rng, label=old, **given)
    net.forward()
    before = gradient(net)
    net.forward()
    net.blobs["label"].data[...] = new
    late = gradient(net)
    net.forward()
    again = gradient(net)
    assert np.abs(again - before).max() > 1e-3
    return before, late, again


SOFTMAX_PARAMS = ["", *MODES, *(f"{mode} {IGNORE}" for mode in MODES)]
SOFTMAX = [(kind, param) for kind in ("SoftmaxWithLoss", "InfogainLoss") for param in SOFTMAX_PARAMS]
OLDER = [("SoftmaxWithLoss", f"normalize: {value} {IGNORE}") for value in ("true", "false")]


@pytest.mark.parametrize("shapes", [ROWS, SPATIAL], ids=["rows", "spatial"])
@pytest.mark.parametrize("kind, param", SOFTMAX + OLDER)
def test_softmax(rng, kind, param, shapes):
    if kind == "InfogainLoss":
        shapes = shapes | {"gain": (1, 1, CLASSES, CLASSES)}
    net = make(kind, f"loss_param {{ {param} }}", shapes)
    old, new = rng.integers(0, CLASSES, (2, *shapes["label"]))
    old.flat[:3], new.flat[:3] = (1, 0, 2), (3, 2, 1)
    new.flat[3] = 1  # more are ignored than before
    _, late, again = late_and_again(net, rng, old, new)
    np.testing.assert_allclose(late, again, rtol=1e-5, atol=1e-7)


def test_infogain_s_matrix(rng):
    net = make("InfogainLoss", "", ROWS | {"gain": (1, 1, CLASSES, CLASSES)})
    fill(net, rng, label=rng.integers(0, CLASSES, 6))
    net.forward()
    before = gradient(net)
    net.blobs["gain"].data[...] = rng.normal(size=(CLASSES, CLASSES))
    late = gradient(net)
    net.forward()
    np.testing.assert_allclose(late, gradient(net), rtol=1e-5, atol=1e-7)
    assert np.abs(late - before).max() > 1e-2


def test_multinomial_logistic(rng):
    net = make("MultinomialLogisticLoss", "", ROWS)
    old, new = rng.integers(0, CLASSES, (2, 6))
    _, late, again = late_and_again(net, rng, old, new, scores=rng.uniform(0.1, 1, ROWS["scores"]))
    np.testing.assert_allclose(late, again, rtol=1e-5)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_turns_the_sign_of_the_new_label_s_margin(rng, norm):
    """As hinge_loss_layer.cpp does: the margins are those of the labels that forward saw."""
    net = make("HingeLoss", f"hinge_loss_param {{ norm: {norm} }}", ROWS)
    old, new = np.array([0, 1, 2, 3, 0, 1]), np.array([1, 1, 0, 2, 3, 0])
    fill(net, rng, label=old)
    net.forward()
    scores, rows = net.blobs["scores"].data.astype(np.float64), np.arange(6)
    net.blobs["label"].data[...] = new
    sign = np.ones((6, CLASSES))
    sign[rows, old] = -1
    margins = np.maximum(0, 1 + sign * scores)
    margins[rows, new] *= -1
    expected = 1.5 / 6 * (np.sign(margins) if norm == "L1" else 2 * margins)
    np.testing.assert_allclose(gradient(net), expected, rtol=1e-5)


@pytest.mark.parametrize("param", ["", *(f"{mode} {IGNORE}" for mode in MODES)])
def test_sigmoid_cross_entropy_is_divided_by_the_count_of_forward(rng, param):
    shapes = {"scores": (3, 4, 2), "label": (3, 4, 2)}
    net = make("SigmoidCrossEntropyLoss", f"loss_param {{ {param} }}", shapes)
    old, new = rng.uniform(0, [[[[2]]], [[[1.2]]]], (2, 3, 4, 2))
    fill(net, rng, label=old)
    net.forward()
    net.blobs["label"].data[...] = new
    counted = [np.trunc(each) != 1 if IGNORE in param else np.ones(each.shape, bool) for each in (old, new)]
    assert IGNORE not in param or counted[0].sum() != counted[1].sum()
    divisor = (
        3 if not param or "BATCH" in param else {"FULL": 24, "VALID": counted[0].sum(), "NONE": 1}[param.split()[1]]
    )
    sigmoid = 1 / (1 + np.exp(-net.blobs["scores"].data.astype(np.float64)))
    expected = np.where(counted[1], sigmoid - new, 0) * 1.5 / divisor
    np.testing.assert_allclose(gradient(net), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("param", ["margin: 2.5", "margin: 6 legacy_version: true"])
@pytest.mark.parametrize("of", ["scores", "other"])
def test_contrastive(rng, param, of):
    net = make(
        "ContrastiveLoss", f"contrastive_loss_param {{ {param} }}", {"scores": (6, 5), "other": (6, 5), "label": (6,)}
    )
    fill(net, rng, label=[1, 0, 1, 0, 1, 0])
    net.forward()
    before = gradient(net, of)
    net.blobs["label"].data[...] = [0, 0, 1, 1, 1, 1]
    late = gradient(net, of)
    net.forward()
    np.testing.assert_allclose(late, gradient(net, of), rtol=1e-5, atol=1e-7)
    assert np.abs(late - before).max() > 1e-2


def test_euclidean_keeps_the_difference_of_forward(rng):
    """Real Caffe's EuclideanLoss alone reads neither bottom again."""
    net = make("EuclideanLoss", "", {"scores": (6, 5), "label": (6, 5)})
    before, late, _ = late_and_again(net, rng, *rng.normal(size=(2, 6, 5)))
    np.testing.assert_array_equal(late, before)


ROUTES = {
    "another reader": ('layer { name: "s" type: "Silence" bottom: "label" }', "label", True),
    "Flatten": (
        'layer { name: "f" type: "Flatten" bottom: "label" top: "way" flatten_param { axis: 0 } }',
        "way",
        True,
    ),
    "Reshape": (
        'layer { name: "f" type: "Reshape" bottom: "label" top: "way" reshape_param { shape { dim: 6 dim: 1 } } }',
        "way",
        True,
    ),
    "Slice into one": (
        'layer { name: "f" type: "Slice" bottom: "label" top: "way" slice_param { axis: 0 } }',
        "way",
        True,
    ),
    "Concat of one": (
        'layer { name: "f" type: "Concat" bottom: "label" top: "way" concat_param { axis: 0 } }',
        "way",
        True,
    ),
    "Concat": (
        'layer { name: "f" type: "Concat" bottom: "label" bottom: "none" top: "way" concat_param { axis: 0 } }',
        "way",
        False,
    ),
    "Power": ('layer { name: "f" type: "Power" bottom: "label" top: "way" propagate_down: false }', "way", False),
}


@pytest.mark.parametrize("route", ROUTES)
def test_labels_by_way_of_other_layers(rng, route):
    """They count if real Caffe shares the memory of the user's blob, but not if a layer copies it."""
    text, label, counts = ROUTES[route]
    more = {"none": (0,)} if "none" in text else {}
    inputs = input_layer(**ROWS | more)
    loss = f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "{label}" top: "loss" loss_weight: 1.5 }}'
    net = make_net(
        inputs
        + 'layer { name: "ip" type: "InnerProduct" bottom: "scores" top: "ip" inner_product_param { num_output: 4 } }'
        + text
        + loss.replace('"scores"', '"ip"')
    )
    fill(net, rng, label=[0, 1, 2, 3, 0, 1])

    def bias():
        net.clear_param_diffs()
        net.backward()
        return net.params["ip"][1].diff.copy()

    net.forward()
    before = bias()
    net.blobs["label"].data[...] = 3
    late = bias()
    net.forward()
    again = bias()
    assert np.abs(again - before).max() > 1e-2
    np.testing.assert_allclose(late, again if counts else before, rtol=1e-5)


def test_late_label_that_is_no_class_names_the_layer(rng):
    net = make("SoftmaxWithLoss", "", ROWS)
    fill(net, rng, label=0)
    net.forward()
    net.blobs["label"].data[2] = 4
    with pytest.raises(CaffeError, match=r"Layer 'loss' \(SoftmaxWithLoss\): label 4 is not a class"):
        net.backward()
    net.blobs["label"].data[2] = 3
    net.backward()


def test_late_label_of_another_shape_names_the_bottom(rng):
    net = make("SoftmaxWithLoss", "", ROWS)
    fill(net, rng, label=0)
    net.forward()
    net.blobs["label"].reshape(5)
    with pytest.raises(CaffeError, match=r"bottom 'label' had the shape \(6,\) in forward and has \(5,\) in backward"):
        net.backward()


def test_net_with_data_layers_may_be_labelled_by_the_scores():
    net = make_net(
        'layer { name: "d" type: "DummyData" top: "x" top: "label" dummy_data_param { shape { dim: 6 dim: 3 } shape { dim: 6 } '
        'data_filler { type: "gaussian" } data_filler { type: "constant" value: 2 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 4 } }'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }',
        caffe.TRAIN,
    )
    net.forward()
    net.blobs["label"].data[...] = [0, 0, 1, 1, 1, 3]
    net.backward()
    np.testing.assert_allclose(net.params["ip"][1].diff, 0.25 - np.array([2, 3, 0, 1]) / 6, rtol=1e-5)
