"""What is said where bfloat16 does not pay. What it computes: test_whole_net.py and test_fused.py."""

import pytest
import torch
from caffe import _precision
from caffe.__main__ import _choose_device

PLAIN = {"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}


@pytest.fixture(autouse=True)
def restored():
    before = _precision.current()
    yield
    _precision.choose(before)


@pytest.mark.parametrize(
    "precision, cpu, slow",
    [
        ("bf16", PLAIN, True),
        ("fp32", PLAIN, False),
        ("bf16", PLAIN | {"avx512_bf16": True}, False),
        ("bf16", PLAIN | {"amx_bf16": True}, False),
        ("bf16", {"architecture": "aarch64"}, False),  # has other names for its instructions
    ],
)
def test_a_cpu_without_bf16_is_told_of(monkeypatch, log_lines, precision, cpu, slow):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu, raising=False)
    _choose_device("", precision)
    assert len([line for line in log_lines if "slower than fp32" in line]) == slow


def test_a_pytorch_that_does_not_know_the_cpu_says_nothing(monkeypatch, log_lines):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    _choose_device("", "bf16")
    assert any("Precision: bf16" in line for line in log_lines)
    assert not any("slower" in line for line in log_lines)
