"""The machine's own limit: how fast PyTorch multiplies two large matrices."""

import time

import torch

_SIZE = {"cpu": 4096, "cuda": 16384}
_TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def product_speed(precision: str, device: str = "cpu") -> float:
    """FLOP/s of the fastest of several products of square matrices, in a precision's type on a device."""
    size = _SIZE[device]
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = (torch.randn(size, size, device=device).to(_TYPES[precision]) for _ in range(2))
    product = torch.empty_like(a)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        begun = time.perf_counter()
        torch.mm(a, b, out=product)
        _wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
