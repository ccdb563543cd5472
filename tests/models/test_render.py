"""The report's five nets: its figures for them, and the committed files, which must equal the templates' output.

test_wished_for.py has the nets that its section 6 wished for.
"""

import difflib
import re
import subprocess
import sys
from pathlib import Path

import caffe
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from models.render import main, map_sizes
from models.variants import VariantError, read_variants

MODELS = Path(__file__).parents[2] / "models"
NETS = ("nin1", "nin2", "nin3", "alexnet1", "alexnet2")

# Zoo figures, counted layer by layer as outputs * (inputs * kernel^2 + 1).
NIN_PARAMETERS = (
    192 * (3 * 25 + 1) + 160 * (192 + 1) + 96 * (160 + 1)
    + 192 * (96 * 25 + 1) + 2 * 192 * (192 + 1)
    + 192 * (192 * 9 + 1) + 192 * (192 + 1) + 200 * (192 + 1)
)  # fmt: skip
ALEXNET_PARAMETERS = (
    96 * (3 * 121 + 1) + 256 * (48 * 25 + 1) + 384 * (256 * 9 + 1)
    + 384 * (192 * 9 + 1) + 256 * (192 * 9 + 1)
    + 4096 * (256 + 1) + 4096 * (4096 + 1) + 200 * (4096 + 1)
)  # fmt: skip
NIN_48 = {"conv1": 48, "cccp2": 48, "pool1": 24, "conv2": 24, "pool2": 12, "cccp6": 12, "pool3": 1}
NIN_64 = {"conv1": 64, "cccp2": 64, "pool1": 32, "conv2": 32, "pool2": 16, "cccp6": 16, "pool3": 1}
ALEXNET_58 = {"conv1": 12, "pool1": 6, "conv2": 6, "pool2": 3, "conv3": 3, "conv5": 3, "pool5": 1}


def parsed(name: str, kind: str):
    text = (MODELS / name / f"{kind}.prototxt").read_text()
    return text_format.Parse(text, caffe_pb2.NetParameter())


def test_parameter_counts_are_the_zoos():
    assert NIN_PARAMETERS == 1_003_656
    assert ALEXNET_PARAMETERS == 20_987_464


@pytest.mark.parametrize(
    ("name", "side", "parameters", "sizes"),
    [
        ("nin1", 48, NIN_PARAMETERS, NIN_48),
        ("nin2", 48, NIN_PARAMETERS, NIN_48),
        ("nin3", 64, NIN_PARAMETERS, NIN_64),
        ("alexnet1", 58, ALEXNET_PARAMETERS, ALEXNET_58),
        ("alexnet2", 58, ALEXNET_PARAMETERS, ALEXNET_58),
    ],
)
def test_a_net_as_caffe_builds_it(name, side, parameters, sizes):
    net = caffe.Net(str(MODELS / name / "deploy.prototxt"), caffe.TEST)
    assert net.blobs["data"].data.shape == (100, 3, side, side)
    assert sum(blob.data.size for blobs in net.params.values() for blob in blobs) == parameters
    assert {blob: net.blobs[blob].data.shape[2:] for blob in sizes} == {b: (s, s) for b, s in sizes.items()}
    assert net.blobs["prob"].data.shape[:2] == (100, 200)


@pytest.mark.parametrize("name", NETS)
def test_data_layers(name):
    layers = [layer for layer in parsed(name, "train_val").layer if layer.type == "Data"]
    phases = {layer.include[0].phase: layer for layer in layers}
    train, test = phases[caffe_pb2.TRAIN], phases[caffe_pb2.TEST]
    assert train.transform_param.mirror and not test.transform_param.mirror
    crop = {"nin3": 0}.get(name, 48 if name.startswith("nin") else 58)
    for layer, source in ((train, "data/lmdb/train_lmdb"), (test, "data/lmdb/val_lmdb")):
        assert list(layer.top) == ["data", "label"]
        assert layer.transform_param.crop_size == crop
        assert layer.transform_param.mean_file == "data/lmdb/mean.binaryproto"
        assert (layer.data_param.source, layer.data_param.batch_size) == (source, 100)
        assert layer.data_param.backend == caffe_pb2.DataParameter.LMDB


@pytest.mark.parametrize("name", NETS)
def test_accuracy_is_for_test_and_loss_for_both(name):
    last = {layer.name: layer for layer in parsed(name, "train_val").layer}
    for accuracy, top_k in (("accuracy", 1), ("accuracy_top5", 5)):
        assert [rule.phase for rule in last[accuracy].include] == [caffe_pb2.TEST]
        assert last[accuracy].accuracy_param.top_k == top_k
    assert not last["loss"].include and list(last["loss"].top) == ["loss"]
    assert parsed(name, "deploy").layer[-1].type == "Softmax"


def test_training_figures_of_the_zoo():
    nin = {layer.name: layer for layer in parsed("nin1", "train_val").layer}
    rates = {name: [param.lr_mult for param in layer.param] for name, layer in nin.items() if layer.param}
    assert rates.pop("cccp6") == [pytest.approx(0.1)] * 2
    assert len(rates) == 8 and all(rate == [1, 2] for rate in rates.values())
    assert nin["pool2"].pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    alexnet = {layer.name: layer for layer in parsed("alexnet1", "train_val").layer}
    grouped = {name for name, layer in alexnet.items() if layer.convolution_param.group == 2}
    assert grouped == {"conv2", "conv4", "conv5"}
    params = {
        name: layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
        for name, layer in alexnet.items()
    }
    biased = {n for n, param in params.items() if param.bias_filler.value == pytest.approx(0.1)}
    assert biased == grouped | {"fc6", "fc7"}
    narrow = {n for n, param in params.items() if param.weight_filler.std == pytest.approx(0.005)}
    assert narrow == {"fc6", "fc7"}


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        ("nin2", ['name: "nin2"', "dropout_ratio: 0.4", "dropout_ratio: 0.4"]),
        ("nin3", ['name: "nin3"', "crop_size: 0", "crop_size: 0", "kernel_size: 16"]),
    ],
)
def test_a_diff_of_two_nets_shows_the_experiment_and_nothing_else(other, changed):
    one, two = ((MODELS / name / "train_val.prototxt").read_text().splitlines() for name in ("nin1", other))
    assert [line[1:].strip() for line in difflib.ndiff(one, two) if line[0] == "+"] == changed
    assert len(one) == len(two)


def test_readmes_table_is_what_the_nets_and_solvers_say():
    readme = (MODELS.parent / "README.md").read_text()
    rows = re.findall(
        r"^\| (\w+) \| `models/\w+/train_val.prototxt` \| (\w+) \| ([\d.]+) \| lr ([\d.]+) \|$", readme, re.M
    )
    assert sorted(row[0] for row in rows) == sorted(NETS)
    for name, crop, dropout, rate in rows:
        net = parsed(name, "train_val")
        crops = {layer.transform_param.crop_size for layer in net.layer if layer.type == "Data"}
        ratios = [layer.dropout_param.dropout_ratio for layer in net.layer if layer.type == "Dropout"]
        assert crops == {0 if crop == "none" else int(crop)}
        assert ratios == [pytest.approx(float(dropout))] * 2
        solver = caffe_pb2.SolverParameter()
        text_format.Parse((MODELS.parent / "solvers" / f"{name}.prototxt").read_text(), solver)
        assert solver.base_lr == pytest.approx(float(rate))


def test_committed_nets_are_what_the_templates_give(tmp_path, capsys):
    main(["--check"])
    main(["--out", str(tmp_path)])
    main(["--out", str(tmp_path), "--check"])
    edited = tmp_path / "nin2" / "deploy.prototxt"
    text = edited.read_text()
    edited.write_text(text.replace("192", "191"))
    with pytest.raises(SystemExit, match=r"nin2/deploy\.prototxt: not what the templates give"):
        main(["--out", str(tmp_path), "--check"])
    others = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.prototxt") if path != edited}
    capsys.readouterr()
    main(["--out", str(tmp_path)])
    assert capsys.readouterr().out.endswith(": 1 rendered\n") and edited.read_text() == text
    assert others == {path: path.stat().st_mtime_ns for path in others}, "only what is missing is made"


def test_another_table_for_another_place(tmp_path):
    table = (MODELS / "variants.toml").read_text().replace("batch_size = 100", "batch_size = 7")
    small = tmp_path / "small.toml"
    small.write_text(table.replace("crop_size = 48", "crop_size = 30"))
    options = ["--variants", str(small), "--out", str(tmp_path / "models")]
    subprocess.run([sys.executable, "-m", "models.render", *options], check=True, cwd=MODELS.parent)
    net = caffe.Net(str(tmp_path / "models/nin1/deploy.prototxt"), caffe.TEST)
    # 30 -> 15 -> 7, where pooling that rounds down would give 14 -> 6.
    assert net.blobs["data"].data.shape == (7, 3, 30, 30)
    assert net.blobs["pool2"].data.shape == (7, 192, 7, 7)
    assert net.blobs["pool3"].data.shape == (7, 200, 1, 1)


def test_map_sizes_round_as_caffe_does():
    """The two AlexNet columns of the original: 227 as published, 58 only because pooling rounds up."""
    text = (MODELS / "alexnet1" / "deploy.prototxt").read_text()
    published = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6}
    assert map_sizes(text, 227).items() >= published.items()
    pooling = "pooling_param { kernel_size: 2 stride: 2 pad: 1 }"
    padded = f'layer {{ type: "Pooling" name: "p" bottom: "data" top: "p" {pooling} }}'
    # Over 5 pixels padded to 7, rounding up gives 4 windows; the last would start in the padding.
    assert [map_sizes(padded, side)["p"] for side in (4, 5)] == [3, 3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dropout_ratio = 0.4", "dropout_ration = 0.4", r"\[nin2\]: .* did you mean dropout_ratio"),
        ("dropout_ratio = 0.4", "dropout_ratio = 1.0", r"\[nin2\]: dropout_ratio 1; it is 0 or more"),
        ("mirror = true", "", r"\[nin1\]: mirror missing"),
        ("crop_size = 0", "crop_size = 65", r"\[nin3\]: crop_size 65 of 64 pixel images"),
        ("crop_size = 0", 'crop_size = "0"', r"\[nin3\]: crop_size = '0', a int is wanted"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, old, new, message):
    table = tmp_path / "variants.toml"
    table.write_text((MODELS / "variants.toml").read_text().replace(old, new))
    with pytest.raises(VariantError, match=message):
        read_variants(table)


def test_a_crop_that_is_too_small_is_refused_and_nothing_written(tmp_path):
    table = tmp_path / "variants.toml"
    table.write_text((MODELS / "variants.toml").read_text().replace("crop_size = 58", "crop_size = 9"))
    with pytest.raises(SystemExit, match="alexnet1: 9 pixels are too few, none is left at conv1"):
        main(["--variants", str(table), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
