"""Nets that ask for more memory than there is: refused, with the layer named, before it is taken."""

import resource
from pathlib import Path

import pytest
import torch
from caffe import NetError, PrototxtError
from caffe._blob import Blob
from caffe._device import memory
from caffe._net.memory import NetMemory

from tests.engine.build import input_layer, make_net

GB = 1_000_000_000


@pytest.fixture
def two_gb(monkeypatch):
    monkeypatch.setattr(memory, "_of_machine", lambda: 2 * GB)


def test_what_there_is():
    here = memory.available()
    assert 1 << 20 < here < 1 << 50
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (own + (1 << 26), before[1]))
        assert 0 < memory.available() <= 1 << 26
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("version", [1, 2])
def test_a_control_group_limits(tmp_path, monkeypatch, version):
    """The smallest limit of the group and its parents counts; memory in caches counts as free."""
    root, limit, used, cached, unlimited, line = {
        1: (
            "sys/fs/cgroup/memory",
            "limit_in_bytes",
            "usage_in_bytes",
            "total_inactive_file",
            2**63 - 4096,
            "4:cpu,memory:",
        ),
        2: ("sys/fs/cgroup", "max", "current", "inactive_file", "max", "0::"),
    }[version]
    inner = tmp_path / root / "jobs/mine"
    inner.mkdir(parents=True)
    for folder, of, taken in ((inner, unlimited, 10), (inner.parent, 5000, 3000)):
        (folder / f"memory.{limit}").write_text(f"{of}\n")
        (folder / f"memory.{used}").write_text(f"{taken}\n")
        (folder / "memory.stat").write_text(f"anon 100\n{cached} 400\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    told = tmp_path / "proc/self/cgroup"
    monkeypatch.setattr(
        memory, "Path", lambda path: tmp_path / path.lstrip("/") if path.startswith(("/proc", "/sys")) else Path(path)
    )
    told.write_text(f"7:cpu:/other\n{line}/jobs/mine\n")
    assert memory._of_control_groups() == 5000 - 3000 + 400
    told.write_text(f"{line}/jobs\n")
    assert memory._of_control_groups() == 2400
    told.write_text("7:cpu:/jobs/mine\n")
    assert memory._of_control_groups() > 1 << 60
    told.unlink()
    assert memory._of_control_groups() > 1 << 60


CONVOLUTION = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: %d kernel_size: 3 weight_filler { type: "xavier" } } }"""


@pytest.mark.parametrize(
    "layers, message",
    [
        (
            CONVOLUTION % 30_000_000,
            r"Layer 'conv' \(Convolution\): A blob of shape \[30000000, 3, 3, 3\] takes 3.24 GB",
        ),
        (CONVOLUTION % 2_000_000_000, r"Layer 'conv' \(Convolution\): blob size exceeds INT_MAX"),
        (
            CONVOLUTION % 300_000,
            r"Layer 'conv' \(Convolution\): up to here the net takes 2.\d\d GB .* there are 2.00 GB",
        ),
        (
            'layer { name: "wide" type: "Tile" bottom: "data" top: "wide" tile_param { tiles: 100000 } }',
            r"Layer 'wide' \(Tile\): up to here the net takes 2.4\d GB of memory.*make batch_size",
        ),
        (
            'layer { name: "made" type: "DummyData" top: "made" dummy_data_param { shape { dim: 600000000 } } }',
            r"Layer 'made' \(DummyData\): A blob of shape \[600000000\] takes 2.40 GB",
        ),
        (
            'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4294967295 } }',
            r"Layer 'ip' \(InnerProduct\): blob size exceeds INT_MAX",
        ),
    ],
)
def test_refused_before_it_is_taken(two_gb, layers, message):
    largest_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((NetError, PrototxtError), match=message):
        make_net(input_layer(data=(2, 3, 32, 32)) + layers)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest_before < 100 << 10


@pytest.mark.parametrize("dims", [(600_000, 1, 32, 32), (2**40, 2**40, 1, 1), (2**62, 4, 1, 1), (-3, 1, 2, 2)])
def test_inputs(two_gb, dims):
    with pytest.raises(NetError, match="Layer 'input'.*(GB of memory|INT_MAX|negative)"):
        make_net(input_layer(data=dims))


def test_many_layers_that_fit_alone(two_gb):
    """Each blob takes 0.4 GB; in place, splits and reshapes take nothing more."""
    layer = 'layer { name: "%s%d" type: "%s" bottom: "%s" top: "%s" }\n'
    text = input_layer(b0=(100, 1000, 1000))
    text += "".join(layer % ("relu", i, "ReLU", "b0", "b0") for i in range(9))
    text += "".join(layer % ("flat", i, "Flatten", "b0", f"f{i}") for i in range(9))
    assert make_net(text).blobs["f8"].shape == [100, 1_000_000]
    with pytest.raises(NetError, match=r"Layer 'power4' \(Power\): up to here the net takes 2.40 GB"):
        make_net(text + "".join(layer % ("power", i, "Power", f"b{i}", f"b{i + 1}") for i in range(9)))


def test_gradients_count_in_training(monkeypatch):
    monkeypatch.setattr(memory, "_of_machine", lambda: 20_000_000)
    text = input_layer(data=(1, 1000)) + (
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3000 } }'
    )
    from caffe import TEST

    assert make_net(text, TEST).params["ip"][0].shape == [3000, 1000]
    with pytest.raises(NetError, match="takes 0.02 GB"):
        make_net(text)


def test_on_a_gpu_its_own_memory_counts(monkeypatch):
    from caffe._device import device as _device

    monkeypatch.setattr(_device, "current", lambda: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (700, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert NetMemory(training=True).free == 730


class TestBlob:
    def test_counts_do_not_overflow(self):
        for shape in ((2**16, 2**16), (2**31, 1), (2**32, 2**32), (1, 2**63)):
            with pytest.raises(NetError, match="INT_MAX"):
                Blob(shape)
            with pytest.raises(NetError, match="INT_MAX"):
                Blob((2, 3)).reshape(*shape)
        assert Blob((2**31 - 1, 1)).count == 2**31 - 1
        assert Blob((2**40, 0, 2**40)).count == 0

    def test_axes(self):
        assert len(Blob((1,) * 32).shape) == 32
        with pytest.raises(NetError, match="32 axes or fewer, not 33"):
            Blob((1,) * 33)
        with pytest.raises(NetError, match="negative"):
            Blob((2, -1))
