"""The message if bfloat16 does not pay; test_whole_net.py and test_fused.py check the values it computes."""

import pytest
import torch
from caffe.__main__ import _choose_device
from caffe._device import precision as _precision

PLAIN = {"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}


@pytest.fixture(autouse=True)
def restored():
    before = _precision.current()
    _precision.cpu_has_bfloat16.cache_clear()
    yield
    _precision.cpu_has_bfloat16.cache_clear()
    _precision.choose(before)


@pytest.mark.parametrize(
    "precision, cpu, onednn, emulated",
    [
        ("bf16", PLAIN, True, True),
        ("fp32", PLAIN, True, False),
        ("bf16", PLAIN | {"avx512_bf16": True}, True, False),
        ("bf16", PLAIN | {"amx_bf16": True}, True, False),
        ("bf16", {"architecture": "aarch64"}, True, False),  # has other names for its instructions
        ("bf16", {"architecture": "aarch64"}, False, True),
        ("fp32", {"architecture": "aarch64"}, False, False),
    ],
)
def test_a_cpu_without_bf16_gets_a_message(monkeypatch, log_lines, precision, cpu, onednn, emulated):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    _choose_device("", precision)
    assert _precision.is_emulated(torch.device("cpu")) == emulated
    assert not _precision.is_emulated(torch.device("cuda"))
    assert len([line for line in log_lines if "takes longer than fp32" in line]) == emulated


@pytest.mark.parametrize("onednn", [True, False])
def test_a_pytorch_that_does_not_know_the_cpu_asks_onednn_alone(monkeypatch, log_lines, onednn):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    _choose_device("", "bf16")
    assert any("Precision: bf16" in line for line in log_lines)
    assert any("takes longer" in line for line in log_lines) != onednn
