"""A run with any data layer resumes from its snapshot exactly, including shuffled files and random windows."""

import h5py
import numpy as np
import pytest
from caffe import get_solver
from caffe._device import random_numbers
from caffe._files import prototxt
from caffe.proto import caffe_pb2
from PIL import Image

from tests.engine.snapshot.test_snapshot import assert_same

LAYERS = {
    "hdf5": 'type: "HDF5Data" hdf5_data_param { source: "h5.txt" batch_size: 3 shuffle: true }',
    "images": 'type: "ImageData" image_data_param { source: "images.txt" batch_size: 3 shuffle: true rand_skip: 2 } '
    "transform_param { mirror: true crop_size: 4 scale: 0.01 }",
    "windows": 'type: "WindowData" window_data_param { source: "windows.txt" batch_size: 3 scale: 0.01 } '
    "transform_param { mirror: true crop_size: 4 }",
    "dummy": 'type: "DummyData" dummy_data_param { shape { dim: 3 dim: 2 } shape { dim: 3 } '
    'data_filler { type: "gaussian" } data_filler { value: 1 } }',
}


@pytest.fixture
def files(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (6, 7, 3), np.uint8)).save(f"{i}.png")
        with h5py.File(f"{i}.h5", "w") as file:
            file["data"], file["label"] = rng.normal(size=(4 + i, 5)), np.arange(4 + i) % 3
    (tmp_path / "h5.txt").write_text("0.h5 1.h5")
    (tmp_path / "images.txt").write_text("0.png 1\n1.png 2\n")
    boxes = "1 0.9 0 0 3 4\n2 0.8 1 2 5 5\n0 0 2 2 6 5\n0 0 0 1 3 3\n"
    (tmp_path / "windows.txt").write_text(f"# 0\n0.png\n3\n6\n7\n4\n{boxes}# 1\n1.png\n3\n6\n7\n4\n{boxes}")


def make_solver(layer):
    net = f"""
        layer {{ name: "data" top: "data" top: "label" {layer} }}
        layer {{ name: "scores" type: "InnerProduct" bottom: "data" top: "scores"
                inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }}"""
    text = f'net_param {{ {net} }} base_lr: 0.1 lr_policy: "fixed" random_seed: 3 snapshot_prefix: "run"'
    return get_solver(prototxt.parse(text, caffe_pb2.SolverParameter(), "test"))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_resumes_exactly(files, name, stop):
    straight = make_solver(LAYERS[name])
    straight.step(stop)
    straight.snapshot()
    straight.step(7)
    resumed = make_solver(LAYERS[name])
    random_numbers.host().random(10)
    resumed.restore(f"run_iter_{stop}.solverstate")
    resumed.step(7)
    assert_same(resumed, straight)
