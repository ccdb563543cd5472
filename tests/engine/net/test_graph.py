"""The Graph: made without passes, and the only thing that the two kinds of passes share."""

import ast
from pathlib import Path

import pytest
from caffe import TRAIN
from caffe._files.prototxt import parse
from caffe._net import fusion, layered_net, whole_net
from caffe._net.graph import Graph
from caffe.proto import caffe_pb2

from tests.engine.build import input_layer
from tests.engine.net.test_whole_net import conv, dense, layer, norm, relu, scale

LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }'


def make_graph(text: str) -> Graph:
    inputs = input_layer(data=(2, 3, 7, 8), label=(2,))
    param = parse(inputs + text + dense("out", "x", 5) + LOSS, caffe_pb2.NetParameter(), "test")
    param.state.phase = TRAIN
    return Graph(param)


def test_made_without_passes():
    graph = make_graph(conv("x", "data", 6) + relu("r", "x"))
    assert graph.layer_names == ["input", "x", "r", "out", "loss"]
    assert graph.blob_names == ["data", "label", "x", "out", "loss"]
    assert (graph.bottoms, graph.tops) == ([[], [0], [2], [2], [3, 1]], [[0, 1], [2], [2], [3], [4]])
    assert (graph.inputs, graph.outputs) == ([0, 1], [4])
    assert graph.layer_need_backward == [False, True, True, True, True]
    assert graph.bottom_need_backward == [[], [False], [True], [True], [True, False]]
    assert graph.loss_weights == [[0, 0], [0], [0], [0], [1]]
    assert [entry.layer.name for entry in graph.params.learnable] == ["x", "x", "out", "out"]


@pytest.mark.parametrize(
    ("text", "overwriting", "relus", "scales"),
    [
        (conv("x", "data", 6) + relu("r", "x"), {"r": "x"}, ["x"], {}),
        (conv("x", "data", 6) + relu("r", "x", "relu_param { negative_slope: 0.1 }"), {}, [], {}),
        (conv("c", "data", 6) + layer("r", "ReLU", "c", "x"), {}, [], {}),
        (norm("x", "data", "x") + scale("s", "x") + relu("r", "x"), {}, ["x"], {"x": "s"}),
        (norm("x", "data", "x") + relu("r", "x") + scale("s", "x"), {"r": "x"}, ["x"], {}),
        (conv("x", "data", 6) + relu("r", "x") + relu("again", "x"), {"r": "x"}, ["x"], {}),
        # The layer before learns nothing from this ReLU, so they are two steps; its values are not needed, either.
        (conv("x", "data", 6) + relu("r", "x", "propagate_down: false"), {"r": "x"}, [], {}),
    ],
)
def test_joins(text, overwriting, relus, scales):
    graph = make_graph(text)
    names = graph.layer_names
    found = fusion.overwriting_relus(graph)
    assert {names[i]: names[before] for i, before in enumerate(found) if before is not None} == overwriting
    steps = fusion.plan_steps(graph)
    assert [step.layer.name for step in steps if step.relu] == relus
    assert {step.layer.name: names[step.scale] for step in steps if step.scale is not None} == scales


@pytest.mark.parametrize("module", [layered_net, whole_net, fusion])
def test_passes_read_no_private_names_of_each_other(module):
    tree = ast.parse(Path(module.__file__).read_text())
    private = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
        if not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    assert private <= {"_data", "_diff"}  # a Blob's two tensors
