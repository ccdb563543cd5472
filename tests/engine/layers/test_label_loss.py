"""HingeLoss, MultinomialLogisticLoss and InfogainLoss against loops (float64, tolerance 1e-12)."""

import math

import numpy as np
import pytest
from caffe import CaffeError
from caffe.proto import caffe_pb2

from tests.engine.build import forward, input_layer, make_layer, make_net
from tests.engine.gradient_check import check_gradient
from tests.engine.layers.test_softmax import softmax


@pytest.mark.parametrize("norm, power", [("L1", 1), ("L2", 2)])
def test_hinge(rng, norm, power):
    x, labels = 2 * rng.normal(size=(4, 3, 2)), np.array([5, 0, 3, 3])
    want = 0.0
    for record, label in zip(x.reshape(4, 6), labels, strict=True):
        for j, score in enumerate(record):
            want += max(0, 1 - score if j == label else 1 + score) ** power
    layer = make_layer(f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', x.shape, labels.shape)
    np.testing.assert_allclose(forward(layer, x, labels)[0], want / 4, rtol=1e-12)
    check_gradient(layer, x, labels, of=[0], kink=1, kink_radius=1e-3)


class TestMultinomialLogistic:
    def test_values_and_gradient(self, rng):
        p, labels = rng.uniform(0.1, 1, (3, 2, 4)), np.array([7, 0, 2]).reshape(3, 1, 1)
        want = -sum(math.log(p[i].flat[label]) for i, label in enumerate(labels.flat)) / 3
        layer = make_layer('type: "MultinomialLogisticLoss"', p.shape, labels.shape)
        np.testing.assert_allclose(forward(layer, p, labels)[0], want, rtol=1e-12)
        check_gradient(layer, p, labels, of=[0])

    def test_floor(self):
        """Below 1e-20 the value is that of 1e-20, and its slope stays."""
        net = make_net(
            "force_backward: true " + input_layer(p=(2, 3), label=(2,))
            + 'layer { name: "loss" type: "MultinomialLogisticLoss" bottom: "p" bottom: "label" top: "loss" }'
        )  # fmt: skip
        net.forward(p=np.array([[0, 0.5, 0.5], [0.5, 0.25, 0]]), label=[0, 1])
        np.testing.assert_allclose(net.blobs["loss"].data, (20 * math.log(10) + math.log(4)) / 2, rtol=1e-6)
        net.backward()
        np.testing.assert_allclose(net.blobs["p"].diff, [[-0.5e20, 0, 0], [0, -2, 0]], rtol=1e-6)

    def test_refused(self):
        with pytest.raises(CaffeError, match="one for each record"):
            make_layer('type: "MultinomialLogisticLoss"', (3, 4), (3, 2))
        with pytest.raises(CaffeError, match="label 4 is not a class"):
            forward(make_layer('type: "MultinomialLogisticLoss"', (1, 4), (1,)), np.ones((1, 4)), np.array([4]))


def infogain(x, labels, matrix, axis, ignore, normalization):
    p = np.moveaxis(softmax(x, axis), axis, -1)
    labels = labels.reshape(p.shape[:-1])
    total, valid = 0.0, 0
    for place in np.ndindex(labels.shape):
        if labels[place] == ignore:
            continue
        for k, gain in enumerate(matrix[labels[place]]):
            total -= gain * math.log(max(p[place][k], 1e-20))
        valid += 1
    divisor = {"FULL": labels.size, "VALID": valid, "BATCH_SIZE": math.prod(x.shape[:axis]), "NONE": 1}[normalization]
    return total / max(1, divisor)


class TestInfogain:
    @pytest.fixture
    def matrix(self, rng):
        return rng.normal(size=(4, 4)).astype(np.float32).astype(np.float64)

    @pytest.fixture
    def source(self, tmp_path, matrix):
        blob = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[4, 4]), data=matrix.ravel())
        (tmp_path / "h.binaryproto").write_bytes(blob.SerializeToString())
        return f'infogain_loss_param {{ source: "{tmp_path}/h.binaryproto" axis: %d }}'

    @pytest.mark.parametrize("mode", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
    @pytest.mark.parametrize("ignore", [None, 2])
    def test_values_and_gradient(self, rng, source, matrix, mode, ignore):
        x, labels = 2 * rng.normal(size=(3, 5, 4, 2)), rng.integers(0, 4, (3, 5, 2))
        given = "" if ignore is None else f"ignore_label: {ignore}"
        text = f"{source % 2} loss_param {{ normalization: {mode} {given} }}"
        layer = make_layer('type: "InfogainLoss"' + text, x.shape, labels.shape, tops=2)
        loss, scores = forward(layer, x, labels)
        np.testing.assert_allclose(loss, infogain(x, labels, matrix, 2, ignore, mode), rtol=1e-12)
        np.testing.assert_allclose(scores, softmax(x, 2), rtol=1e-12)
        check_gradient(layer, x, labels, of=[0], tops=[0])

    def test_matrix_as_third_bottom_may_change(self, rng):
        x, labels = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)
        layer = make_layer('type: "InfogainLoss"', x.shape, labels.shape, (1, 1, 4, 4))
        for _ in range(2):
            matrix = rng.normal(size=(1, 1, 4, 4))
            (loss,) = forward(layer, x, labels, matrix)
            np.testing.assert_allclose(loss, infogain(x, labels, matrix[0, 0], 1, None, "VALID"), rtol=1e-12)
        check_gradient(layer, x, labels, matrix, of=[0])

    def test_refused(self, source, tmp_path):
        with pytest.raises(CaffeError, match="source or a third bottom"):
            make_layer('type: "InfogainLoss"', (2, 4), (2,))
        with pytest.raises(CaffeError, match="must be 3 x 3"):
            make_layer('type: "InfogainLoss"' + source % 1, (2, 3), (2,))
        with pytest.raises(CaffeError, match="normalize is deprecated"):
            make_layer(f'type: "InfogainLoss" {source % 1} loss_param {{ normalize: true }}', (2, 4), (2,))
        with pytest.raises(CaffeError, match="Could not open file .*gone"):
            make_layer(f'type: "InfogainLoss" infogain_loss_param {{ source: "{tmp_path}/gone" }}', (2, 4), (2,))


@pytest.mark.parametrize(
    "type_", ["HingeLoss", "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss"]
)
def test_labels_that_are_learned_are_refused(type_):
    net = make_net(
        input_layer(x=(2, 1))
        + 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "label" inner_product_param { num_output: 1 } }'
        + f'layer {{ name: "loss" type: "{type_}" bottom: "x" bottom: "label" top: "loss" }}'
    )
    with pytest.raises(CaffeError, match="'loss'.*cannot backpropagate to label inputs"):
        net.forward()
