"""Strides of axes that hold one number, which PyTorch's kernels read although nothing is one stride away.

A kernel may take a tensor for channels last by one test of its strides and for contiguous by another; the two differ
only in such axes. A 1 x 1 convolution of one image leaves such strides in its top and in the gradient of its bottom,
and PyTorch's batch_norm then computes a wrong gradient from either (tests/engine/strides.py looks for more).
"""

import torch


class _Natural(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        # Autograd would take view_as of what is handed back as it came, and that finds strides of its own.
        return values.as_strided(values.shape, _natural_strides(values.shape, values.stride()))

    @staticmethod
    def backward(ctx, gradient):
        return natural(gradient)


def natural_both_ways(values: torch.Tensor) -> torch.Tensor:
    """The values, and in the backward pass their gradient, with natural strides."""
    if not _may_differ(values):
        return values
    return _Natural.apply(values) if values.requires_grad else natural(values)


def natural(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, in the same memory, with the strides that their layout gives to axes of one number."""
    if not _may_differ(tensor):
        return tensor
    wanted = _natural_strides(tensor.shape, tensor.stride())
    return tensor if wanted == tensor.stride() else tensor.as_strided(tensor.shape, wanted)


def _may_differ(tensor: torch.Tensor) -> bool:
    return 1 in tensor.shape and tensor.dim() > 2


def _natural_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    # Channels are innermost where an axis that comes after them takes longer steps.
    channels_last = shape[1] > 1 and any(n > 1 and s > strides[1] for n, s in zip(shape[2:], strides[2:], strict=True))
    order = [0, *range(2, len(shape)), 1] if channels_last else range(len(shape))
    wanted, step = list(strides), 1
    for axis in reversed(order):
        if shape[axis] == 1:
            wanted[axis] = step
        else:
            step = max(step, strides[axis] * shape[axis])
    return tuple(wanted)
