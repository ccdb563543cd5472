"""The machine's own limit: how fast PyTorch multiplies two large matrices."""

import time

import torch
from caffe._precision import cpu_has_bfloat16

_SIZE = {"cpu": 4096, "cuda": 16384}
_TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def product_speed(precision: str, device: str = "cpu") -> float:
    """FLOP/s of the fastest of several products of square matrices, in a precision's type on a device.

    Where a CPU has no products of bfloat16, they are float32's, as the engine's are: PyTorch's own take minutes.
    """
    size, dtype = _SIZE[device], _TYPES[precision]
    if device == "cpu" and dtype == torch.bfloat16 and not cpu_has_bfloat16():
        dtype = torch.float32
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
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
