"""The precision of the arithmetic: real Caffe's float32, or fewer digits for speed.

fp32    float32 throughout (the default).
tf32    on a GPU, convolutions and matrix products round their inputs to 10 bits of mantissa.
bf16    activations and their gradients are bfloat16 from the first convolution or inner product on.
        Weights are rounded to bfloat16 for each pass. Losses compute in float32, and so do layers that do
        not choose otherwise. The weights themselves, their gradients and the solver's history stay float32.
        A CPU without bfloat16 instructions multiplies rounded numbers in float32 and rounds the products.

The command's ``--precision`` chooses it; the environment variable CAFFE_PRECISION does so for pycaffe too.
"""

import functools
import os

import torch

from caffe._error import CaffeError

NAMES = ("fp32", "tf32", "bf16")
VARIABLE = "CAFFE_PRECISION"

_name: str | None = None


def choose(name: str, source: str = "--precision") -> None:
    """Compute with this precision.

    Raises:
        CaffeError: there is no precision of that name.
    """
    global _name
    if name not in NAMES:
        raise CaffeError(f"{source}: '{name}' is not a precision; there are {', '.join(NAMES)}.")
    _name = name
    tf32 = name == "tf32"
    # Caffe's float32 means float32, so override PyTorch's defaults.
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def current() -> str:
    """The chosen precision's name, or the environment's if none was chosen."""
    if _name is None:
        choose(os.environ.get(VARIABLE) or "fp32", VARIABLE)
    return _name


def is_emulated(device: torch.device) -> bool:
    """True if bfloat16 is chosen and the device, a CPU, has no instructions for it: it multiplies in float32."""
    return is_reduced() and device.type == "cpu" and not cpu_has_bfloat16()


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 in hardware.

    oneDNN does so on any AVX-512, but without such instructions it is three times slower.
    """
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if supported is None or not supported():
        return False
    cpu = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.11 may lack this function.
    instructions = ("avx512_bf16", "amx_bf16", "avx10_2")
    return cpu.get("architecture") != "x86_64" or any(map(cpu.get, instructions))


def is_reduced() -> bool:
    """True if activations are bfloat16."""
    return current() == "bf16"
