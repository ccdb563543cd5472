"""Caffe's other commands, ours and the real ones, on the same files: their output files and exit status."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import lmdb
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from PIL import Image

from .caffe_log import PREFIX
from .compare import DISPLAYED
from .engines import OURS, REAL, REPOSITORY
from .old_files import NETS, SOLVERS

SCRIPTS = tomllib.loads((REPOSITORY / "engine" / "pyproject.toml").read_text())["project"]["scripts"]
Both = Callable[..., tuple[subprocess.CompletedProcess, subprocess.CompletedProcess]]

pytestmark = pytest.mark.usefixtures("real_caffe")


def ours(name: str, args: Sequence[str], work: Path) -> subprocess.CompletedProcess:
    """The console script of this name, as installing the engine makes it."""
    module, _, function = SCRIPTS[name].partition(":")
    start = f"import sys; from {module} import {function}; sys.exit({function}())"
    return OURS.run([sys.executable, "-c", start, *args], work)


def real(name: str, args: Sequence[str], work: Path) -> subprocess.CompletedProcess:
    return REAL.run([*REAL.command(work)[:-1], name, *args], work)


@pytest.fixture
def both(work: Path, request: pytest.FixtureRequest) -> Both:
    """Runs a command with both; `{out}` in its arguments is replaced by a name of each one's own."""
    folder = re.sub(r"\W", "_", request.node.name)

    def run(name: str, *args: str):
        found = []
        for engine, command in (("ours", ours), ("real", real)):
            out = f"{folder}.{engine}"
            found.append(command(name, [arg.replace("{out}", out) for arg in args], work))
            found[-1].out = work / out
        return found

    return run


def assert_fine(*done: subprocess.CompletedProcess) -> None:
    for each in done:
        assert each.returncode == 0, each.stdout


def said(done: subprocess.CompletedProcess, pattern: str) -> list[str]:
    """The messages of a log that a pattern matches."""
    lines = (re.sub(PREFIX, "", line) for line in done.stdout.splitlines() if re.match(PREFIX, line))
    return [line for line in lines if re.match(pattern, line)]


# ---- upgrades ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_upgrade_net_proto_text(name: str, work: Path, both: Both) -> None:
    (work / f"{name}.prototxt").write_text(NETS[name])
    mine, theirs = both("upgrade_net_proto_text", f"{name}.prototxt", "{out}")
    assert mine.returncode == theirs.returncode
    mine, theirs = (text_format.Parse(done.out.read_text(), caffe_pb2.NetParameter()) for done in (mine, theirs))
    assert mine == theirs
    assert not mine.layers and not mine.input


@pytest.mark.parametrize("name", NETS)
def test_upgrade_net_proto_binary(name: str, work: Path, both: Both) -> None:
    net = text_format.Parse(NETS[name], caffe_pb2.NetParameter())
    (work / f"{name}.binary").write_bytes(net.SerializeToString())
    mine, theirs = both("upgrade_net_proto_binary", f"{name}.binary", "{out}")
    assert mine.returncode == theirs.returncode
    assert mine.out.read_bytes() == theirs.out.read_bytes()


@pytest.mark.parametrize("name", SOLVERS)
def test_upgrade_solver_proto_text(name: str, work: Path, both: Both) -> None:
    (work / f"{name}.prototxt").write_text(SOLVERS[name])
    done = both("upgrade_solver_proto_text", f"{name}.prototxt", "{out}")
    assert_fine(*done)
    mine, theirs = (text_format.Parse(each.out.read_text(), caffe_pb2.SolverParameter()) for each in done)
    assert mine == theirs


def test_upgrade_of_what_does_not_parse(work: Path, both: Both) -> None:
    (work / "broken.prototxt").write_text("layer { nme: 'x' }")
    for done in both("upgrade_net_proto_text", "broken.prototxt", "{out}"):
        assert done.returncode == 2 and not done.out.exists()


# ---- convert_imageset, compute_image_mean --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(work: Path) -> Path:
    """Images of every kind, 23 x 31, and their list, which also names a missing and a broken one."""
    folder = work / "images"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(3)

    def draw() -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (8, 10, 3), np.uint8)).resize((31, 23), Image.Resampling.BICUBIC)

    turned = Image.Exif()
    turned[0x112] = 6
    draw().save(folder / "sub" / "a b.jpg", quality=80)
    draw().save(folder / "full.JPEG", subsampling=0)
    draw().convert("L").save(folder / "gray.jpg")
    draw().convert("CMYK").save(folder / "inks.jpg")
    draw().save(folder / "turned.jpg", exif=turned)
    draw().save(folder / "c.png")
    draw().convert("L").save(folder / "gray.png")
    draw().convert("P").save(folder / "palette.png")
    draw().convert("RGBA").save(folder / "alpha.png")
    draw().save(folder / "d.bmp")
    Image.fromarray(rng.integers(0, 65536, (23, 31)).astype(np.uint16)).save(folder / "sixteen.png")
    (folder / "broken.jpg").write_bytes(b"not an image")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) + ["missing.png"]
    (work / "list.txt").write_text("".join(f"{name} {7 * i}\n" for i, name in enumerate(names)) + "\nlast 3")
    return folder


def records(path: Path) -> dict[bytes, bytes]:
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as txn:
        return dict(txn.cursor())


CONVERTED = {
    "plain": [],
    "gray": ["--gray"],
    "smaller": ["--resize_width=13", "--resize_height=9"],
    "larger": ["-resize_width", "40", "-resize_height", "37"],
    "half one way": ["--resize_width=15", "--resize_height=46", "--gray=true"],
    "one side given": ["--resize_width=13"],
    "check_size": ["--check_size", "--resize_width=13", "--resize_height=9", "--backend", "lmdb", "--nogray"],
    "encoded": ["--encoded"],
    "encoded, gray": ["--encoded", "--gray"],
}


@pytest.mark.parametrize("name", CONVERTED)
def test_convert_imageset(name: str, images: Path, both: Both) -> None:
    done = both("convert_imageset", *CONVERTED[name], "images/", "list.txt", "{out}")
    assert_fine(*done)
    mine, theirs = (records(each.out) for each in done)
    assert list(mine) == list(theirs) and len(mine) == 11
    for key in theirs:
        assert mine[key] == theirs[key], key
    mine, theirs = (said(each, "A total|Processed|Could not open or find") for each in done)
    assert [line.partition(":")[0] for line in mine] == theirs


def test_convert_imageset_to_another_type(images: Path, both: Both) -> None:
    """PNG encoders differ in bytes, not in pixels; both JPEG encoders are libjpeg-turbo at quality 95."""
    done = both("convert_imageset", "--encode_type=png", "--resize_width=14", "--resize_height=9", "images/",
                "list.txt", "{out}")  # fmt: skip
    assert_fine(*done)
    mine, theirs = (records(each.out) for each in done)
    assert list(mine) == list(theirs)
    for key in theirs:
        a, b = (caffe_pb2.Datum.FromString(each[key]) for each in (mine, theirs))
        pixels = [np.asarray(Image.open(io.BytesIO(datum.data))) for datum in (a, b)]
        np.testing.assert_array_equal(*pixels, err_msg=str(key))
        a.ClearField("data")
        b.ClearField("data")
        assert a == b


def test_convert_imageset_shuffle(images: Path, both: Both) -> None:
    """Another order each time, the same images with their labels."""
    done = both("convert_imageset", "--shuffle", "images/", "list.txt", "{out}")
    assert_fine(*done)
    mine, theirs = (records(each.out) for each in done)
    contents = [sorted((key.partition(b"_")[2], value) for key, value in each.items()) for each in (mine, theirs)]
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    "args", [["--check_size"], ["--check_size", "--encoded"], ["--backend=rocks"]], ids=["sizes", "encoded", "backend"]
)
def test_convert_imageset_refuses(args: list[str], images: Path, work: Path, both: Both) -> None:
    turned = "c.png 1\nturned.jpg 2\nlonger.png 3\n"
    Image.new("RGB", (40, 20)).save(images / "longer.png")
    (work / "few.txt").write_text(turned)
    mine, theirs = both("convert_imageset", *args, "images/", "few.txt", "{out}")
    assert theirs.returncode != 0
    assert mine.returncode == 1 and "Traceback" not in mine.stdout and not mine.out.exists()


@pytest.mark.parametrize("source", ["train", "test", "float", "png", "jpeg"])
def test_compute_image_mean(source: str, both: Both) -> None:
    done = both("compute_image_mean", f"data/{source}_lmdb", "{out}")
    assert_fine(*done)
    assert done[0].out.read_bytes() == done[1].out.read_bytes()
    mine, theirs = (said(each, "Processed|Number of channels|mean_value") for each in done)
    assert mine == theirs and len(theirs) == 5


# ---- extract_features ----------------------------------------------------------------------------------------------


def test_extract_features(work: Path, both: Both) -> None:
    blobs = "conv1,ip2,label"
    targets = "{out}.conv1,{out}.ip2,{out}.label"
    done = both("extract_features", "data/initial.caffemodel", "net.prototxt", blobs, targets, "3", "lmdb")
    assert_fine(*done)
    for blob in blobs.split(","):
        mine, theirs = (records(each.out.with_name(f"{each.out.name}.{blob}")) for each in done)
        assert list(mine) == list(theirs) and len(mine) == 15
        for key in theirs:
            a, b = (caffe_pb2.Datum.FromString(each[key]) for each in (mine, theirs))
            np.testing.assert_allclose(a.float_data, b.float_data, rtol=1e-4, atol=1e-5)
            a.ClearField("float_data")
            b.ClearField("float_data")
            assert a == b
    assert said(done[0], "Extracted|Success") == said(done[1], "Extracted|Success")


# ---- caffe's own flags ---------------------------------------------------------------------------------------------

STAGED = """
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { scale: 0.02 }
  data_param { source: "data/train_lmdb" backend: LMDB batch_size: 4 } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 5 } }
layer { name: "low" type: "ReLU" bottom: "ip1" top: "ip1" include { max_level: 1 } }
layer { name: "high" type: "ReLU" bottom: "ip1" top: "ip1" relu_param { negative_slope: 0.4 } include { min_level: 2 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 9 } }
layer { name: "deep" type: "InnerProduct" bottom: "ip1" top: "deep" inner_product_param { num_output: 9 }
  include { stage: "deep" } include { stage: "also" stage: "this" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
layer { name: "deep_loss" type: "SoftmaxWithLoss" bottom: "deep" bottom: "label" top: "deep_loss"
  include { stage: "deep" } include { stage: "also" stage: "this" } }
"""
FLAGS = {
    "none": [],
    "level": ["--level=2"],
    "stage": ["--stage=deep"],
    "half of two stages": ["-stage", "also"],
    "stages and level": ["-stage", "also,this", "-level", "3"],
}


def write_weights(path: Path, seed: int, **shapes: tuple[int, int]) -> None:
    """A .caffemodel of inner products."""
    rng = np.random.default_rng(seed)
    net = caffe_pb2.NetParameter()
    for name, shape in shapes.items():
        layer = net.layer.add(name=name, type="InnerProduct")
        for dims in (shape, shape[:1]):
            blob = layer.blobs.add()
            blob.shape.dim.extend(dims)
            blob.data.extend(rng.normal(size=dims, scale=0.1).ravel().tolist())
    path.write_bytes(net.SerializeToString())


@pytest.fixture(scope="module")
def staged(work: Path) -> None:
    (work / "staged.prototxt").write_text(STAGED)
    (work / "staged_solver.prototxt").write_text(
        'net: "staged.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 4 display: 1 solver_mode: CPU'
    )
    # Both files give ip1: the second one's is kept. The first has a layer that the net lacks.
    write_weights(work / "first.caffemodel", 1, ip1=(5, 507), ip2=(9, 5), unknown=(2, 3))
    write_weights(work / "second.caffemodel", 2, deep=(9, 5), ip1=(5, 507))


SHOWN = r"Iteration \d+.*, lo|    Train net|Batch|loss|deep_loss|Loss|Finetuning|Ignoring source|Snapshotting"


NUMBER = re.compile(r"\d+\.\d+(?:e[-+]\d+)?")


def shown(done: subprocess.CompletedProcess) -> list[str]:
    return [re.sub(r" \([^)]*iters\)", "", line) for line in said(done, SHOWN)]


def assert_shown_alike(mine: subprocess.CompletedProcess, theirs: subprocess.CompletedProcess) -> None:
    """The same lines, but that the last of six digits may be rounded the other way."""
    ours, real = ("\n".join(shown(done)) for done in (mine, theirs))
    assert NUMBER.sub("N", ours) == NUMBER.sub("N", real)
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (ours, real)]
    np.testing.assert_allclose(*numbers, rtol=DISPLAYED)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_train_with_level_stage_and_weights(flags: list[str], work: Path, staged: None, both: Both) -> None:
    weights = "-weights=first.caffemodel,second.caffemodel"
    mine, theirs = both("caffe", "train", "-solver", "staged_solver.prototxt", weights, *flags)
    assert_fine(mine, theirs)
    assert len(shown(theirs)) > 10
    assert_shown_alike(mine, theirs)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_score_with_level_and_stage(flags: list[str], work: Path, staged: None, both: Both) -> None:
    mine, theirs = both("caffe", "test", "-model", "staged.prototxt", "-weights", "second.caffemodel",
                        "-iterations=3", *flags)  # fmt: skip
    # The layers that no file gives start from the filler, which is 0 by default.
    assert_fine(mine, theirs)
    assert len(shown(theirs)) > 4
    assert_shown_alike(mine, theirs)


def test_a_weights_file_that_is_missing(work: Path, staged: None, both: Both) -> None:
    flags = ["-solver", "staged_solver.prototxt", "-weights", "first.caffemodel,nowhere.caffemodel"]
    mine, theirs = both("caffe", "train", *flags)
    assert theirs.returncode != 0
    assert mine.returncode == 1 and "nowhere.caffemodel" in mine.stdout and "Traceback" not in mine.stdout
