"""Data layers that share a name each resume where they stopped, also from older files that distinguish them."""

import json

import h5py
import numpy as np
import pytest
from caffe import TEST, SnapshotError, get_solver
from caffe._device import random_numbers
from caffe._files import prototxt
from caffe.proto import caffe_pb2
from PIL import Image

from tests.engine.command import NET, SOLVER, make_experiment, weights
from tests.engine.records import datum, write_lmdb
from tests.engine.snapshot.test_snapshot import assert_same

CROP = "transform_param { mirror: true crop_size: 4 scale: 0.01 }"
PAIRS = {
    "HDF5Data": [f'type: "HDF5Data" hdf5_data_param {{ source: "{name}.txt" batch_size: 3 shuffle: true }}' for name in "ab"],
    "ImageData": [
        f'type: "ImageData" image_data_param {{ source: "{name}.txt" batch_size: 3 shuffle: true }} {CROP}' for name in "cd"
    ],
    "Data": [f'type: "Data" data_param {{ source: "{name}" batch_size: 3 backend: LMDB }} {CROP}' for name in "ef"],
    "two types": [
        'type: "HDF5Data" hdf5_data_param { source: "b.txt" batch_size: 3 shuffle: true }',
        f'type: "Data" data_param {{ source: "e" batch_size: 3 backend: LMDB }} {CROP}',
    ],
    "WindowData": [
        f'type: "WindowData" window_data_param {{ source: "windows.txt" batch_size: 3 scale: {scale} }} '
        "transform_param { mirror: true crop_size: 4 }"
        for scale in (0.01, 0.02)
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch, rng):
    """Two sources of each kind, of different lengths."""
    monkeypatch.chdir(tmp_path)
    for name, rows, tops in (("a", 5, ("x1", "y1")), ("b", 7, ("x2", "y2", "x1", "y1"))):
        with h5py.File(f"{name}.h5", "w") as file:
            for top in tops:
                file[top] = rng.normal(size=(rows, 5)) if top[0] == "x" else np.arange(rows) % 3
        (tmp_path / f"{name}.txt").write_text(f"{name}.h5")
    for name, count in (("c", 5), ("d", 7)):
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (6, 7, 3), np.uint8)).save(f"{name}{i}.png")
        (tmp_path / f"{name}.txt").write_text("".join(f"{name}{i}.png {i % 3}\n" for i in range(count)))
    for name, count in (("e", 5), ("f", 7)):
        images = rng.integers(0, 256, (count, 3, 6, 7), np.uint8)
        write_lmdb(tmp_path / name, [datum(image, i % 3) for i, image in enumerate(images)])
    (tmp_path / "windows.txt").write_text("# 0\nc0.png\n3\n6\n7\n3\n1 0.9 0 0 3 4\n2 0.8 1 2 5 5\n0 0 2 2 6 5\n")


def make_solver(layers, names=("data", "data"), more=""):
    """A net that adds up the scores of two sources; the second's labels are not used."""
    text = "".join(
        f'layer {{ name: "{name}" top: "x{i}" top: "y{i}" {layer} }} layer {{ name: "flat{i}" type: "Flatten" '
        f'bottom: "x{i}" top: "flat{i}" }} layer {{ name: "ip{i}" type: "InnerProduct" bottom: "flat{i}" top: "s{i}" '
        f'inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}'
        for i, (name, layer) in enumerate(zip(names, layers, strict=True), 1)
    )
    text = f"""net_param {{ name: "twins" {text}
        layer {{ type: "Eltwise" bottom: "s1" bottom: "s2" top: "sum" }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "y1" top: "loss" }}
        layer {{ name: "silence" type: "Silence" bottom: "y2" }} }}
        base_lr: 0.1 lr_policy: "fixed" random_seed: 3 snapshot_prefix: "run" {more}"""
    return get_solver(prototxt.parse(text, caffe_pb2.SolverParameter(), "test"))


def states(solver):
    return [layer.get_state() for layer in solver.net._layers if layer.type in (*PAIRS, "MemoryData")]


@pytest.mark.parametrize("names", [("data", "data"), ("", "")], ids=["one name", "no name"])
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("stop", [1, 4])
def test_resumes_exactly(kind, names, stop):
    straight = make_solver(PAIRS[kind], names, "test_iter: 1 test_interval: 3")
    straight.step(stop)
    straight.snapshot()
    straight.step(5)
    resumed = make_solver(PAIRS[kind], names, "test_iter: 1 test_interval: 3")
    random_numbers.host().random(10)
    resumed.restore(f"run_iter_{stop}.solverstate")
    resumed.step(5)
    assert_same(resumed, straight)
    assert states(resumed) == states(straight)


def test_layers_in_memory(rng):
    layers = ['type: "MemoryData" memory_data_param { batch_size: 3 channels: 1 height: 2 width: 4 }'] * 2

    def start():
        solver = make_solver(layers)
        sources = [layer for layer in solver.net._layers if layer.type == "MemoryData"]
        for layer, count in zip(sources, (6, 9), strict=True):
            images = np.random.default_rng(count).normal(size=(count, 1, 2, 4)).astype(np.float32)
            layer.reset(images, np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) % 3)
        return solver

    straight = start()
    straight.step(4)
    straight.snapshot()
    resumed = start()
    resumed.restore("run_iter_4.solverstate")
    assert states(resumed) == states(straight) == [{"position": 0}, {"position": 3}]


def resume_file(iteration=4):
    with open(f"run_iter_{iteration}.resume.json") as file:
        return json.load(file)


def rewrite(tmp_path, content):
    (tmp_path / "run_iter_4.resume.json").write_text(json.dumps(content))
    (tmp_path / "run_iter_4.manifest.json").unlink(missing_ok=True)


def test_what_the_file_says(tmp_path):
    solver = make_solver(PAIRS["HDF5Data"])
    solver.step(4)
    solver.snapshot()
    content = resume_file()
    assert content["format"] == 2
    assert content["nets"] == [
        {
            "data": [
                {"type": "HDF5Data", "tops": ["x1", "y1"], "state": states(solver)[0]},
                {"type": "HDF5Data", "tops": ["x2", "y2"], "state": states(solver)[1]},
            ]
        }
    ]
    # Without such names the file is one that older versions read.
    single = make_solver(PAIRS["HDF5Data"], ("one", "two"))
    single.step(4)
    single.snapshot()
    content = resume_file()
    assert content["format"] == 1
    assert content["nets"] == [{"one": states(single)[0], "two": states(single)[1]}]


def test_an_older_file_with_one_state_for_two_layers(tmp_path, log_lines):
    """Its state is the last layer's. Neither layer gets it, and they read from their first records, in step."""
    written = make_solver(PAIRS["HDF5Data"])
    written.step(4)
    written.snapshot()
    content = resume_file()
    last = content["nets"][0]["data"][-1]["state"]
    rewrite(tmp_path, content | {"format": 1, "nets": [{"data": last}]})
    resumed = make_solver(PAIRS["HDF5Data"])
    before = states(resumed)
    resumed.restore("run_iter_4.solverstate")
    assert resumed.iter == 4 and states(resumed) == before
    (line,) = [line for line in log_lines if "has no state of its own for" in line]
    assert "'data' (layer 1: HDF5Data, x1, y1), 'data' (layer " in line and "HDF5Data, x2, y2)" in line
    assert "start again, as in real Caffe" in line


def test_layers_that_got_names_of_their_own_since(tmp_path, log_lines):
    written = make_solver(PAIRS["HDF5Data"])
    written.step(4)
    written.snapshot()
    content = resume_file()
    last = content["nets"][0]["data"][-1]["state"]
    for nets in (content["nets"], [{"data": last}]):
        rewrite(tmp_path, content | {"nets": nets})
        resumed = make_solver(PAIRS["HDF5Data"], ("data", "labels"))
        before = states(resumed)
        log_lines.clear()
        resumed.restore("run_iter_4.solverstate")
        assert states(resumed) == before
        assert [line for line in log_lines if "has no state of its own for 'labels'" in line]


def test_one_data_layer_without_a_name_beside_layers_without_state(tmp_path):
    written = make_solver(PAIRS["HDF5Data"], ("", "b"))
    written.step(4)
    written.snapshot()
    content = resume_file()
    assert content["format"] == 1 and set(content["nets"][0]) == {"", "b"}
    resumed = make_solver(PAIRS["HDF5Data"], ("", "b"))
    resumed.restore("run_iter_4.solverstate")
    assert states(resumed) == states(written)


@pytest.mark.parametrize("broken", [7, [7], [{"type": "HDF5Data"}], [{"tops": 3, "state": {}}], [{"state": 8}] * 2])
def test_a_broken_list_is_refused(tmp_path, broken):
    written = make_solver(PAIRS["HDF5Data"])
    written.step(4)
    written.snapshot()
    rewrite(tmp_path, resume_file() | {"nets": [{"data": broken}]})
    with pytest.raises(SnapshotError, match="run_iter_4.resume.json is broken"):
        make_solver(PAIRS["HDF5Data"]).restore("run_iter_4.solverstate")


def test_the_user_gets_a_message(log_lines):
    make_solver(PAIRS["HDF5Data"])
    (line,) = [line for line in log_lines if "a name of its own" in line]
    assert "2 layers are named 'data' (layer 1: HDF5Data, x1, y1; layer 4: HDF5Data, x2, y2)" in line
    assert "net.params" not in line


def test_one_in_each_phase_needs_no_message(log_lines):
    from caffe import Net

    include = [f"{layer} include {{ phase: {phase} }}" for layer, phase in zip(PAIRS["Data"], ("TRAIN", "TEST"))]
    param = prototxt.parse(
        "".join(f'layer {{ name: "data" top: "x" top: "y" {layer} }}' for layer in include),
        caffe_pb2.NetParameter(), "test",
    )  # fmt: skip
    assert Net(param, TEST)._layer_names == ["data"]
    assert not [line for line in log_lines if "a name of its own" in line]


def test_workers(tmp_path, train):
    """Two workers resume as if never stopped: each source continues in each worker."""
    second = (
        'layer { name: "data" type: "Data" top: "more" top: "unused" include { phase: TRAIN } transform_param '
        '{ crop_size: 9 mirror: true scale: 0.02 } data_param { source: "test_lmdb" batch_size: 8 backend: LMDB } }\n'
        'layer { name: "silence" type: "Silence" bottom: "unused" include { phase: TRAIN } }\n'
        'layer { name: "both" type: "Eltwise" bottom: "data" bottom: "more" top: "both" include { phase: TRAIN } }\n'
        'layer { name: "both" type: "Power" bottom: "data" top: "both" include { phase: TEST } }\n'
    )
    net = NET.replace('layer { name: "conv"', second + 'layer { name: "conv"')
    net = net.replace('bottom: "data" top: "conv"', 'bottom: "both" top: "conv"')
    folder = make_experiment(tmp_path / "two", SOLVER, net)
    command = ["train", "--solver=solver.prototxt", "--worker_timeout=60"]
    first = train(folder, command, command)
    assert first.end() == [0, 0], first.log(0)
    assert "2 layers are named 'data'" in first.log(0)
    straight = weights(folder / "snap_iter_20.caffemodel")
    again = train(folder, *[[*command, "--snapshot=snap_iter_10.solverstate"]] * 2)
    assert again.end() == [0, 0], again.log(0)
    for ours, theirs in zip(weights(folder / "snap_iter_20.caffemodel"), straight, strict=True):
        np.testing.assert_array_equal(ours, theirs)
