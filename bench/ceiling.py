"""The machine's own limit: the speed at which PyTorch multiplies two large matrices, by its fastest way."""

import time
from collections.abc import Callable

import torch
from caffe._device.precision import cpu_has_bfloat16

_SIZE = {"cpu": 4096, "cuda": 16384}
_TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def product_speed(precision: str, device: str = "cpu") -> float:
    """FLOP/s of the fastest of several products of square matrices, in a precision's type on a device.

    On a CPU, the products of MKL and oneDNN are tried. On AMD, MKL uses half of the processor in float32. A CPU without
    bfloat16 products uses float32's instead, as the engine does, since PyTorch's own take minutes.
    """
    size, dtype = _SIZE[device], _TYPES[precision]
    if device == "cpu" and dtype == torch.bfloat16 and not cpu_has_bfloat16():
        dtype = torch.float32
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    ways = [torch.mm]
    if device == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ways.append(lambda x, y: torch.ops.mkldnn._linear_pointwise(x, y, None, "none", [], ""))
    return 2 * size**3 / min(_seconds(lambda way=way: way(a, b), device) for way in ways)


def _seconds(product: Callable[[], object], device: str) -> float:
    """The seconds of the fastest of several calls."""
    best = float("inf")
    for _ in range(5):
        _wait(device)
        begun = time.perf_counter()
        product()
        _wait(device)
        best = min(best, time.perf_counter() - begun)
    return best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
