"""The precision of the arithmetic: float32 as real Caffe's, or fewer digits and less time.

fp32    float32 throughout (the default).
tf32    on a GPU, convolutions and matrix products round their inputs to 10 bits of mantissa.
bf16    activations and their gradients are bfloat16 from the first convolution or inner product on,
        weights are rounded to it for each pass. Losses, and layers that do not say otherwise, compute in
        float32; the weights themselves, their gradients and the solver's history stay float32. On a CPU without
        instructions for it, products are taken in float32 of numbers rounded to bfloat16, and rounded to it.

Chosen by the command's ``--precision`` or, for pycaffe too, by the environment variable CAFFE_PRECISION.
"""

import functools
import os

import torch

from caffe._error import CaffeError

NAMES = ("fp32", "tf32", "bf16")
VARIABLE = "CAFFE_PRECISION"

_name: str | None = None


def choose(name: str, source: str = "--precision") -> None:
    """Compute with this precision from now on.

    Raises:
        CaffeError: there is none of that name.
    """
    global _name
    if name not in NAMES:
        raise CaffeError(f"{source}: '{name}' is not a precision; there are {', '.join(NAMES)}.")
    _name = name
    tf32 = name == "tf32"
    # Caffe's float32 means float32, so what PyTorch's default is does not matter.
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def current() -> str:
    """The precision's name; until one was chosen, what the environment says."""
    if _name is None:
        choose(os.environ.get(VARIABLE) or "fp32", VARIABLE)
    return _name


def is_emulated(device: torch.device) -> bool:
    """True where bfloat16 is chosen and the device, a CPU, has no instructions for it: it multiplies in float32."""
    return is_reduced() and device.type == "cpu" and not cpu_has_bfloat16()


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether it multiplies bfloat16. oneDNN does so on any AVX-512, but without instructions three times slower."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if supported is None or not supported():
        return False
    cpu = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.11 need not know them
    instructions = ("avx512_bf16", "amx_bf16", "avx10_2")
    return cpu.get("architecture") != "x86_64" or any(map(cpu.get, instructions))


def is_reduced() -> bool:
    """True where activations are bfloat16."""
    return current() == "bf16"
