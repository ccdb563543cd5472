"""Real Caffe's BLAS at its best: OpenBLAS with whichever of its kernels is the fastest on this processor.

An OpenBLAS older than the processor may not know it, and choose very old kernels. Debian 11's (0.3.13) chooses those
of a Prescott of 2004 on a Xeon of today. They reach a fifth of its SkylakeX kernels' speed. A comparison with that would
flatter ours. OPENBLAS_CORETYPE, OpenBLAS's own variable, names the kernels to use.
"""

import os
import re
import subprocess
from functools import cache
from typing import NamedTuple

from tests.conformance.engines import REAL, workspace

#: Kernels tried beside its own choice: for AVX2, in two processors' versions, and for AVX-512.
KERNELS = ("Haswell", "Zen", "SkylakeX")
#: Prints the seconds of the fastest product of square matrices; OpenBLAS names its kernels on standard error.
_PRODUCTS = """
import time, numpy
a, b = numpy.random.rand(2, {size}, {size}).astype(numpy.float32)
best = float("inf")
for _ in range(6):
    begun = time.time()
    numpy.dot(a, b)
    best = min(best, time.time() - begun)
print(best)
"""
_SIZE = 2048
_CORE = re.compile(r"^Core: (\w+)$", re.MULTILINE)


class Kernels(NamedTuple):
    """Kernels of OpenBLAS, and the FLOP/s of a large float32 matrix product with them."""

    name: str
    speed: float


def threads() -> dict[str, str]:
    """The variables for OpenBLAS on all cores."""
    return {"OPENBLAS_NUM_THREADS": str(os.cpu_count())}


@cache
def own_choice() -> Kernels:
    """The kernels that OpenBLAS chooses itself. Raises SystemExit if real Caffe's Python does not run."""
    found = _measured({})
    if found is None:
        raise SystemExit("bench: real Caffe's Python cannot multiply with OpenBLAS; make reference-caffe anew")
    return found


@cache
def fastest() -> Kernels:
    """The fastest of its own choice and ``KERNELS``; kernels that the processor cannot run are left out."""
    others = (_measured({"OPENBLAS_CORETYPE": name}) for name in KERNELS)
    best = max(filter(None, others), key=lambda one: one.speed, default=own_choice())
    # Its own choice stays unless another is faster beyond noise.
    return best if best.speed > 1.05 * own_choice().speed else own_choice()


def environment() -> dict[str, str]:
    """Variables for real Caffe: all cores and, if OpenBLAS chooses slower ones itself, the fastest kernels."""
    chosen = {} if fastest() == own_choice() else {"OPENBLAS_CORETYPE": fastest().name}
    return threads() | chosen


def described() -> str:
    """The kernels in a line, as a table's footnote."""
    best, own = fastest(), own_choice()
    if best == own:
        return f"OpenBLAS, its own choice of kernels ({own.name}, {own.speed / 1e9:.0f} GFLOP/s)"
    return (
        f"OpenBLAS with {best.name} kernels ({best.speed / 1e9:.0f} GFLOP/s), which it does not choose itself "
        f"({own.name}, {own.speed / 1e9:.0f})"
    )


def _measured(variables: dict[str, str]) -> Kernels | None:
    """Measure kernels; None if the processor lacks their instructions, or this OpenBLAS lacks the kernels."""
    with workspace() as folder:
        done = subprocess.run(
            [*REAL.interpreter(folder), "-c", _PRODUCTS.format(size=_SIZE)],
            check=False,
            cwd=folder,
            env=REAL._environment() | threads() | {"OPENBLAS_VERBOSE": "2"} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    core = _CORE.search(done.stdout)
    if done.returncode or core is None or core[1] != variables.get("OPENBLAS_CORETYPE", core[1]):
        return None
    return Kernels(core[1], 2 * _SIZE**3 / float(done.stdout.split()[-1]))
