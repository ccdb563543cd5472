"""The nets that the report's section 6 wished for: its own with PReLU, a residual net for 64 x 64 images."""

import dataclasses
import difflib
import re
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from ensemble.scoring.deploy_net import DeployNet
from models.render import main, render
from models.variants import VariantError, read_variants
from tests.models.test_render import ALEXNET_PARAMETERS, MODELS, NIN_PARAMETERS

BN_SUMS = 3  # blobs of a BatchNorm: means, variances, their weight


def variant(name: str, **changes):
    (found,) = (each for each in read_variants(MODELS / "variants.toml") if each.name == name)
    return dataclasses.replace(found, **changes)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def net(text: str, phase: int, tmp_path: Path, shape: tuple[int, ...]) -> caffe.Net:
    """A train_val net in one phase, its Data layers replaced by inputs."""
    param = text_format.Parse(text, caffe_pb2.NetParameter())
    layers = [layer for layer in param.layer if layer.type != "Data"]
    del param.layer[:]
    for name, dims in (("data", shape), ("label", shape[:1])):
        layer = param.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=dims)
    param.layer.extend(layers)
    path = tmp_path / f"net{phase}.prototxt"
    path.write_text(text_format.MessageToString(param))
    return caffe.Net(str(path), phase)


def fill(of: caffe.Net, rng) -> None:
    of.blobs["data"].data[...] = rng.normal(scale=60, size=of.blobs["data"].data.shape)
    of.blobs["label"].data[...] = rng.integers(0, 200, of.blobs["label"].data.shape)


# ---- PReLU -------------------------------------------------------------------------------------------

NIN_CHANNELS = 192 + 160 + 96 + 3 * 192 + 2 * 192 + 200
ALEXNET_CHANNELS = 96 + 256 + 384 + 384 + 256 + 2 * 4096


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("nin1", NIN_PARAMETERS + NIN_CHANNELS), ("alexnet1", ALEXNET_PARAMETERS + ALEXNET_CHANNELS)],
)
def test_a_slope_for_each_channel(name, parameters):
    made = caffe.Net(str(MODELS / f"{name}_prelu/deploy.prototxt"), caffe.TEST)
    assert sum(blob.data.size for blobs in made.params.values() for blob in blobs) == parameters
    slopes = [blobs[0] for layer, blobs in made.params.items() if layer.startswith("relu")]
    assert all((blob.data == 0.25).all() for blob in slopes)


@pytest.mark.parametrize(("name", "units"), [("nin1", 9), ("alexnet1", 7)])
def test_a_diff_shows_the_units_and_nothing_else(name, units):
    one, two = ((MODELS / each / "train_val.prototxt").read_text().splitlines() for each in (name, f"{name}_prelu"))
    changed = [line for line in difflib.ndiff(one, two) if line[0] in "+-"]
    gone = [line[1:].strip() for line in changed if line[0] == "-"]
    new = [line[1:].strip() for line in changed if line[0] == "+"]
    assert gone == [f'name: "{name}"', *['type: "ReLU"'] * units]
    unit = [
        'type: "PReLU"',
        "param {",
        "lr_mult: 1",
        "decay_mult: 0",
        "}",
        "prelu_param {",
        "channel_shared: false",
        "}",
    ]
    assert sorted(new) == sorted([f'name: "{name}_prelu"', *unit * units])


def test_what_the_authors_could_not_change(tmp_path):
    """The slopes' rate and whether channels share one, from the table."""
    table = tmp_path / "variants.toml"
    text = (MODELS / "variants.toml").read_text()
    table.write_text(text.replace('unit = "PReLU"', 'unit = "PReLU"\nslope_lr_mult = 2.5\nchannel_shared = true'))
    main(["--variants", str(table), "--out", str(tmp_path)])
    rendered = (tmp_path / "nin1_prelu/train_val.prototxt").read_text()
    layers = [layer for layer in text_format.Parse(rendered, caffe_pb2.NetParameter()).layer if layer.type == "PReLU"]
    assert len(layers) == 9
    assert all(layer.prelu_param.channel_shared for layer in layers)
    assert [[(p.lr_mult, p.decay_mult) for p in layer.param] for layer in layers] == [[(2.5, 0)]] * 9
    made = caffe.Net(str(tmp_path / "nin1_prelu/deploy.prototxt"), caffe.TEST)
    assert sum(blob.data.size for blobs in made.params.values() for blob in blobs) == NIN_PARAMETERS + 9


# ---- the residual net --------------------------------------------------------------------------------


def resnet_parameters(width: int, blocks: int) -> int:
    """Counted layer by layer; a convolution brings the three blobs of its BatchNorm and the two of its Scale."""

    def conv(inputs, outputs, kernel):
        return outputs * inputs * kernel**2 + (2 * outputs + 1) + 2 * outputs

    total, channels = conv(3, width, 3), width
    for stage in range(4):
        outputs = width * 2**stage
        for number in range(blocks):
            total += conv(channels, outputs, 3) + conv(outputs, outputs, 3)
            total += conv(channels, outputs, 1) if stage and not number else 0
            channels = outputs
    return total + 200 * (channels + 1)


@pytest.mark.parametrize(
    ("name", "blocks", "sides"), [("resnet18", 2, (56, 28, 14, 7)), ("resnet10", 1, (28, 14, 7, 4))]
)
def test_a_residual_net_as_caffe_builds_it(name, blocks, sides, tmp_path):
    # Batches of 100 of resnet18 take a gigabyte.
    (tmp_path / "deploy.prototxt").write_text(render(variant(name, batch_size=2), deploy=True))
    made = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    assert made.blobs["data"].data.shape == (2, 3, 56, 56)
    assert made.blobs["conv1"].data.shape == (2, 64, sides[0], sides[0])
    for stage, side in enumerate(sides):
        block = made.blobs[f"stage{stage + 1}_block{blocks}"]
        assert block.data.shape == (2, 64 * 2**stage, side, side)
    assert made.blobs["pool"].data.shape == (2, 512, 1, 1)
    assert made.blobs["prob"].data.shape == (2, 200)
    assert sum(blob.data.size for blobs in made.params.values() for blob in blobs) == resnet_parameters(64, blocks)
    assert not any(layer.type == "Dropout" for layer in made.layers)


def test_every_convolution_is_normalised_and_none_says_when():
    """use_global_stats, given, would be wrong in one of the phases; BatchNorm takes the phase's own."""
    text = (MODELS / "resnet18/train_val.prototxt").read_text()
    layers = list(text_format.Parse(text, caffe_pb2.NetParameter()).layer)
    kinds = [layer.type for layer in layers]
    assert kinds.count("Convolution") == kinds.count("BatchNorm") == kinds.count("Scale") == 17 + 3
    for conv, norm, scale in zip(layers, layers[1:], layers[2:]):
        if conv.type == "Convolution":
            assert (norm.type, scale.type) == ("BatchNorm", "Scale")
            assert list(conv.top) == list(norm.bottom) == list(norm.top) == list(scale.bottom) == list(scale.top)
            assert not conv.convolution_param.bias_term and scale.scale_param.bias_term
    assert "use_global_stats" not in text
    sums = [layer for layer in layers if layer.type == "Eltwise"]
    assert len(sums) == 8 and all(layer.eltwise_param.operation == 1 for layer in sums)
    data = {layer.include[0].phase: layer.transform_param for layer in layers if layer.type == "Data"}
    assert data[caffe.TRAIN].mirror and not data[caffe.TEST].mirror
    assert {param.crop_size for param in data.values()} == {56}


@pytest.fixture
def small():
    return variant("resnet10", width=3, batch_size=4, crop_size=20, image_size=24)


def test_every_weight_learns(small, tmp_path, rng):
    made = net(render(small, deploy=False), caffe.TRAIN, tmp_path, (4, 3, 20, 20))
    fill(made, rng)
    made.forward()
    made.backward()
    for layer, blobs in made.params.items():
        learned = [bool(np.abs(blob.diff).max() > 0) for blob in blobs]
        assert learned == ([False] * BN_SUMS if layer.endswith("_bn") else [True] * len(blobs)), layer


def test_deploy_scores_as_the_test_phase_does(small, tmp_path, rng):
    """From a snapshot of the TRAIN net, whose own scores, by the batch's statistics, are others."""
    train = net(render(small, deploy=False), caffe.TRAIN, tmp_path, (4, 3, 20, 20))
    for _ in range(3):
        fill(train, rng)
        train.forward()
    assert train.params["conv1_bn"][2].data == pytest.approx(1 + 0.99 + 0.99**2)
    train.save(str(tmp_path / "small.caffemodel"))
    images, labels = (train.blobs[name].data.copy() for name in ("data", "label"))

    test = net(render(small, deploy=False), caffe.TEST, tmp_path, (4, 3, 20, 20))
    test.copy_from(str(tmp_path / "small.caffemodel"))
    test.blobs["data"].data[...], test.blobs["label"].data[...] = images, labels
    loss = test.forward()["loss"]
    (tmp_path / "deploy.prototxt").write_text(render(small, deploy=True))
    deploy = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST, weights=str(tmp_path / "small.caffemodel"))
    prob = deploy.forward(data=images)["prob"]
    np.testing.assert_allclose(deploy.blobs["fc"].data, test.blobs["fc"].data, rtol=1e-5, atol=1e-6)
    assert -np.log(prob[np.arange(4), labels.astype(int)]).mean() == pytest.approx(float(loss), rel=1e-5)
    assert np.abs(train.blobs["fc"].data - test.blobs["fc"].data).max() > 0.1
    # One image's scores do not depend on its batch.
    alone = deploy.forward(data=np.concatenate([images[:1]] * 4))["prob"]
    np.testing.assert_allclose(alone[0], prob[0], rtol=1e-5)


def test_it_takes_the_whole_image_too(small, tmp_path, rng):
    """Its only inner product comes after the mean over whole maps, so views may be larger than the crop."""
    (tmp_path / "deploy.prototxt").write_text(render(small, deploy=True))
    caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST).save(str(tmp_path / "a.caffemodel"))
    deploy = DeployNet(tmp_path / "deploy.prototxt", tmp_path / "a.caffemodel", np.zeros((3, 24, 24), np.float32))
    assert (deploy.whole.height, deploy.whole.width) == (24, 24) and deploy.crop == (20, 20)
    images = rng.integers(0, 256, (2, 3, 24, 24), dtype=np.uint8)
    assert deploy(images, deploy.whole).prob.shape == deploy(images).prob.shape == (2, 200)


# ---- rows that make no net ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("nin1_prelu", 'unit = "PRelu"', "unit = 'PRelu', one of ReLU, PReLU is wanted"),
        ("nin1_prelu", 'unit = "PReLU"\nslope_lr_mult = -1', "slope_lr_mult = -1, 0 or more is wanted"),
        ("nin1_prelu", 'unit = "PReLU"\nslope_lr_mult = "1"', "slope_lr_mult = '1', a float is wanted"),
        ("nin1_prelu", 'unit = "PReLU"\nchannel_shared = 1', "channel_shared = 1, a bool is wanted"),
        ("nin1_prelu", "channel_shared = true", "channel_shared is a PReLU's, the unit is ReLU"),
        ("nin1_prelu", "slope_lr_mult = 2", "slope_lr_mult is a PReLU's, the unit is ReLU"),
        ("nin1_prelu", "width = 64", "width is of the template resnet, not of nin"),
        ("resnet10", "width = 64\nblocks = 1", "stem_stride missing; the template resnet needs it"),
        ("resnet10", "width = 0\nblocks = 1\nstem_stride = 1", "width = 0, 1 or more is wanted"),
        ("resnet10", "width = true\nblocks = 1\nstem_stride = 1", "width = True, a int is wanted"),
        ("resnet10", "width = 64\nblocks = 1\nstem_stride = 1\nbloks = 1", "unknown key bloks, did you mean blocks?"),
        ("resnet10", 'width = 64\nblocks = 1\nstem_stride = 65\nunit = "PReLU"', None),
    ],
)
def test_a_wrong_row_is_named(tmp_path, name, row, message):
    text = (MODELS / "variants.toml").read_text()
    shared, rows = text[: text.index("[nin1]")], dict(re.findall(r"^\[(\w+)\].*\n((?:[^\[\n].*\n)*)", text, re.M))
    kept = [line for line in rows[name].splitlines() if line.startswith(("template", "crop_size"))]
    table = tmp_path / "variants.toml"
    table.write_text("\n".join([shared, f"[{name}]", *kept, row, ""]))
    if message is None:
        assert [each.unit for each in read_variants(table)] == ["PReLU"]
        return
    with pytest.raises(VariantError) as raised:
        read_variants(table)
    assert str(raised.value) == f"{table} [{name}]: {message}"
