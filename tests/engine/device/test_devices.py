"""Every layer runs on the mode's device, and modes may change; these tests need no GPU.

PyTorch's `meta` device replaces the GPU: its tensors have shapes and types, but no values.
Mixing them with the CPU's is the same error as on a GPU. `make conformance-gpu` checks the values on a real GPU.
"""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from caffe import TEST, TRAIN, Net, get_solver
from caffe._blob import Blob
from caffe._device import device, random_numbers
from caffe._device import precision as _precision
from caffe._layers.data import Data

from tests.conformance import training
from tests.conformance.cases import CASES
from tests.conformance.engines import OURS
from tests.conformance.run_cases import net_text
from tests.engine.build import input_layer
from tests.engine.command import environment, make_experiment

META = torch.device("meta")
# These read values (how many are right, which are not 0, the old sums' factor) or write them.
LOOKS = ("Accuracy/", "Filter/", "BatchNorm/", "HDF5Output/")
LAYERS = [case for case in CASES if case.type != "Python"]  # a user's code, which may read any value


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the files that the layer cases read."""
    folder = tmp_path_factory.mktemp("devices")
    training.prepare(OURS, folder)
    return folder


@pytest.fixture
def meta(monkeypatch):
    """Set the GPU mode, as far as possible without a GPU."""
    monkeypatch.setattr(device, "_device", META)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: tensor.device.type == "meta"))
    monkeypatch.setattr(random_numbers, "dropout_mask", lambda like, keep: torch.empty_like(like))
    monkeypatch.setattr(random_numbers, "uniform", torch.empty_like)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_layer_computes_where_the_mode_says(files, meta, monkeypatch, precision):
    monkeypatch.chdir(files)
    before = _precision.current()
    try:
        _precision.choose(precision)
        seen = {case.type for case in LAYERS if runs_on_meta(case)}
    finally:
        _precision.choose(before)
    assert {case.type for case in LAYERS} - seen == {"Filter", "HDF5Output"}


def runs_on_meta(case) -> bool:
    """Run a case there and back; False for one that cannot be run without values."""
    with open("case.prototxt", "w") as file:
        file.write(net_text(dataclasses.asdict(case)))
    net = Net("case.prototxt", TRAIN if case.phase == "TRAIN" else TEST)
    if case.records:
        shape = net.blobs[case.tops[0]].shape
        net.set_input_arrays(np.zeros((case.records, *shape[1:]), np.float32), np.zeros(case.records, np.float32))
    try:
        net._forward(0, len(net._layers) - 1)
        if case.backward:
            net._backward(len(net._layers) - 1, 0, keep=False)
    except (NotImplementedError, ZeroDivisionError) as error:
        assert case.name.startswith(LOOKS), case.name
        assert "meta" in str(error) or case.type == "BatchNorm"
        return False
    for blob in net._blobs:
        assert blob._data.tensor().device == META and blob._diff.tensor().device == META, case.name
    return True


def test_a_mix_of_devices_would_be_seen(meta):
    with pytest.raises(RuntimeError, match="device"):
        torch.empty(2, device=META) + torch.ones(2)


def test_a_view_shows_what_a_gpu_has_computed_when_the_mode_is_the_cpus_again():
    """`cpu:0` is another device than `cpu` here, so that this one machine has two."""
    blob = Blob((2, 3))
    view = blob.data
    blob._data._tensor = torch.full((2, 3), 5.0)  # as a pass on the device leaves it
    assert np.all(blob._data.tensor(torch.device("cpu", 0)).numpy() == 5)
    assert blob.data is view and np.all(view == 5)
    view[...] = 7
    assert np.all(blob._data.tensor().numpy() == 7), "from then on they are one memory again"


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "Adam"])
def test_a_solver_made_before_the_mode_was_set_takes_its_history_along(tmp_path, monkeypatch, kind):
    folder = make_experiment(tmp_path)
    monkeypatch.chdir(folder)
    momentum = "" if kind == "Adam" else "momentum: 0.9"
    (folder / "solver.prototxt").write_text(
        f'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" {momentum} type: "{kind}" max_iter: 4'
    )
    solver = get_solver("solver.prototxt")
    solver.step(1)
    monkeypatch.setattr(device, "_device", META)
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *lists, **_: fused.extend(lists))  # has no implementation for meta
    fused: list[list[torch.Tensor]] = []
    solver.apply_update()
    assert {tensor.device for tensors in fused for tensor in tensors} == ({META} if kind == "SGD" else set())
    assert {past.device for past in solver.history} == {META}


def test_records_that_lie_on_another_device_are_left_there(tmp_path, monkeypatch):
    """The order of the records continues at the same place."""
    folder = make_experiment(tmp_path)
    monkeypatch.chdir(folder)
    streamed, resident = (
        next(layer for layer in Net("net.prototxt", TRAIN)._layers if isinstance(layer, Data)) for _ in range(2)
    )
    resident._make_resident(torch.device("cpu"), 1 << 30)
    expected, found = [], []
    for number in range(3):
        if number == 2:
            resident._resident.pixels = resident._resident.pixels.to(META)
        expected.append(streamed.forward([], [])[1].tolist())
        found.append(resident.forward([], [])[1].tolist())
    assert found == expected and expected[0] != expected[2]
    assert resident._resident is None


FORKED = """
import os, signal, sys, torch, caffe
torch.set_num_threads(2)
net = caffe.Net("net.prototxt", caffe.TEST)
net.blobs["x"].data[...] = 1
expected = net.forward()["y"].copy()
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(0 if (net.forward()["y"] == expected).all() and torch.get_num_threads() == 1 else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_computes(tmp_path):
    """OpenMP's threads are not forked, and it waits for them; pools of processes fork."""
    layer = (
        'layer { name: "y" type: "Convolution" bottom: "x" top: "y" '
        'convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "xavier" } } }'
    )
    (tmp_path / "net.prototxt").write_text(input_layer(x=(8, 16, 40, 40)) + layer)
    variables = environment() | {"OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", FORKED], cwd=tmp_path, env=variables, check=True, timeout=120)
