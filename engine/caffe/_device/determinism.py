"""The same bits in every run, on a GPU too (``caffe train --deterministic``); the CPU's are always the same."""

import os

import torch


def require() -> None:
    """From now on let the GPU compute only in ways whose results do not depend on chance; call it before the first.

    An operation that has no such way then raises torch's RuntimeError, which names it.
    """
    # cuBLAS reads it once, when it starts; without it sums depend on what runs beside them.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads what it has not written
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
