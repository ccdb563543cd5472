"""caffe summary: numbers counted by hand, and the known numbers of the report's nets."""

import re
import shutil
from pathlib import Path

import pytest
from caffe import DataError
from caffe import __main__ as command
from caffe._commands.summary import measure, summary
from caffe._files import prototxt
from caffe.proto import caffe_pb2

from tests.engine.records import datum, write_lmdb

MODELS = Path(__file__).parents[3] / "models"

NET = """
name: "hand"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { crop_size: 11 } data_param { source: "nowhere" batch_size: 7 backend: LMDB } }
layer { name: "data" type: "Input" top: "data" top: "label" include { phase: TEST }
        input_param { shape { dim: [2, 3, 11, 11] } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 10 kernel_h: 3 kernel_w: 5 stride: 2 pad: [1, 0]
                            weight_filler { type: "gaussian" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "grouped" type: "Convolution" bottom: "conv" top: "grouped"
        convolution_param { num_output: 4 kernel_size: 3 group: 2 bias_term: false } }
layer { name: "up" type: "Deconvolution" bottom: "grouped" top: "up"
        convolution_param { num_output: 5 kernel_size: 2 stride: 2 } }
layer { name: "pool" type: "Pooling" bottom: "up" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "one" type: "InnerProduct" bottom: "pool" top: "one" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 5 } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "two" bottom: "label" top: "loss" }
"""


@pytest.fixture
def net():
    return prototxt.parse(NET, caffe_pb2.NetParameter(), "test")


def test_by_hand(net):
    made = measure(net, "TRAIN")
    found = {row.layer: (row.window, row.output, row.parameters, row.multiply_adds) for row in made.rows.values()}
    # 11 x 11 with a pad of 1 x 0 gives (11 + 2 - 3) // 2 + 1 = 6 rows, (11 - 5) // 2 + 1 = 4 columns
    assert found == {
        "data": ("", "3 x 11 x 11, 1", 0, 0),
        "conv": ("3x5 stride 2 pad 1x0", "10 x 6 x 4", 3 * 10 * 15 + 10, 3 * 10 * 15 * 6 * 4),
        "relu": ("", "10 x 6 x 4", 0, 0),
        "grouped": ("3x3 group 2", "4 x 4 x 2", 5 * 4 * 9, 5 * 4 * 9 * 4 * 2),
        "up": ("2x2 stride 2", "5 x 8 x 4", 4 * 5 * 4 + 5, 4 * 5 * 4 * 4 * 2),
        "pool": ("AVE global", "5 x 1 x 1", 0, 0),
        "one": ("", "5", 5 * 5 + 5, 5 * 5),
        "two": ("", "5", 0, 5 * 5),  # shares them
        "loss": ("", "1", 0, 0),
    }
    assert list(made.rows) == [0, 2, 3, 4, 5, 6, 7, 8, 9] and made.batch == 7
    # in-place tops are one blob; the Splits that Caffe inserts hold nothing of their own
    assert made.values == 7 * (3 * 11 * 11 + 1 + 10 * 6 * 4 + 4 * 4 * 2 + 5 * 8 * 4 + 5 + 5 + 5) + 1


def test_the_net_is_left_as_it_was(net):
    before = net.SerializeToString()
    measure(net, "TEST")
    assert net.SerializeToString() == before


def test_phases_beside_each_other(tmp_path, capfd):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    assert command.main(["summary", str(path)]) == 0
    told = capfd.readouterr()
    assert told.err == ""
    lines = told.out.splitlines()
    phases = {tuple(line.split()[:2]): line.split()[-1] for line in lines if line.endswith(("TRAIN", "TEST"))}
    assert phases == {("data", "Data"): "TRAIN", ("data", "Input"): "TEST"}, (
        "what is the same in both stands there once"
    )
    assert "nowhere is not there: images of 3 x 11 x 11 are assumed, as crop_size says." in lines
    total = 460 + 180 + 85 + 30
    assert f"hand: {total} parameters, 0.0 MB; in training, with gradients and update history, 0.0 MB" in lines
    assert lines[-2].startswith("TRAIN: 9 layers, ")
    assert lines[-1].startswith("TEST: 9 layers, 12,930 multiply-adds an image; blobs of a batch of 2: ")
    one = summary(str(path), ["TEST"])
    assert "TRAIN" not in one and one.splitlines()[0].split()[-1] == "phase"


def test_the_size_of_images_that_are_there(tmp_path, monkeypatch, net, rng):
    monkeypatch.chdir(tmp_path)
    write_lmdb(Path("nowhere"), [datum(rng.integers(0, 256, (3, 12, 13), "uint8"), 1)])
    net.layer[0].transform_param.Clear()
    assert measure(net, "TRAIN").rows[0].output == "3 x 12 x 13, 1"
    shutil.rmtree("nowhere")
    with pytest.raises(DataError, match="nowhere is not there and no crop_size is given"):
        measure(net, "TRAIN")


def test_recurrent_layers_count_every_step():
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [3, 2, 5] } } }
    layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: [3, 2] } } }
    layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 7 } }"""
    rows = measure(prototxt.parse(text, caffe_pb2.NetParameter(), "test"), "TEST").rows
    assert (rows[2].parameters, rows[2].multiply_adds) == (28 * 5 + 28 + 28 * 7, 3 * (28 * 5 + 28 * 7))


def test_a_convolution_of_two_bottoms_works_twice():
    text = """
    layer { name: "x" type: "Input" top: "x" top: "y"
            input_param { shape { dim: [2, 3, 9, 8] } shape { dim: [2, 3, 9, 8] } } }
    layer { name: "conv" type: "Convolution" bottom: "x" bottom: "y" top: "a" top: "b"
            convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: "up" type: "Deconvolution" bottom: "a" bottom: "b" top: "c" top: "d"
            convolution_param { num_output: 5 kernel_size: 2 } }"""
    rows = measure(prototxt.parse(text, caffe_pb2.NetParameter(), "test"), "TEST").rows
    assert rows[1].multiply_adds == 2 * 4 * 3 * 9 * 7 * 6
    assert rows[2].multiply_adds == 2 * 4 * 5 * 4 * 7 * 6


@pytest.mark.parametrize(
    ("name", "parameters", "sizes"),
    [
        ("nin1", 1_003_656, {"cccp2": 48, "pool1": 24, "pool2": 12, "cccp6": 12, "pool3": 1}),
        ("nin3", 1_003_656, {"cccp2": 64, "pool1": 32, "pool2": 16, "cccp6": 16, "pool3": 1}),
        ("alexnet1", 20_987_464, {"conv1": 12, "pool1": 6, "conv2": 6, "pool2": 3, "conv5": 3, "pool5": 1}),
    ],
)
def test_the_reports_nets(name, parameters, sizes):
    made = measure(prototxt.read_net_param(MODELS / name / "deploy.prototxt"), "TEST")
    found = {row.layer: row for row in made.rows.values()}
    assert sum(row.parameters for row in found.values()) == parameters
    for layer, size in sizes.items():
        assert re.fullmatch(rf"\d+ x {size} x {size}", found[layer].output), layer
    work = {"nin1": 192 * 3 * 25 * 48**2, "nin3": 192 * 3 * 25 * 64**2, "alexnet1": 96 * 3 * 121 * 12**2}
    assert found["conv1"].multiply_adds == work[name]
