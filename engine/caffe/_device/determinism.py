"""The same bits in every run, on a GPU too (``caffe train --deterministic``); the CPU's are always the same."""

import os

import torch


def require() -> None:
    """Make the GPU compute deterministically; call this before its first operation.

    An operation without a deterministic algorithm then raises PyTorch's RuntimeError, which names it.
    """
    # cuBLAS reads this once, at its start; without it sums depend on concurrent work.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # Nothing here reads memory before writing it.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
