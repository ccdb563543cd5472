"""The compute device: Caffe's mode (CPU or GPU) and device number, global to the process as in Caffe."""

import os

import torch

from caffe._device import precision
from caffe._error import CaffeError
from caffe._log import logger

_device = torch.device("cpu")
_device_id = 0

# A forked child lacks the threads that OpenMP expects, and would wait for them.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def current() -> torch.device:
    """The device that blobs are computed on."""
    return _device


def set_mode_cpu() -> None:
    """Compute on the CPU."""
    global _device
    _device = torch.device("cpu")


def set_mode_gpu() -> None:
    """Compute on the GPU chosen with set_device (by default 0).

    Without a CUDA device it logs a warning and stays on the CPU, where results are the same.
    """
    global _device
    if not torch.cuda.is_available():
        logger.warning("No CUDA device is available: running on the CPU.")
        _device = torch.device("cpu")
        return
    precision.current()  # replaces PyTorch's own choice of TF32
    _device = torch.device("cuda", _device_id)
    torch.cuda.set_device(_device)


def check(device_id: int) -> None:
    """Check that a GPU exists; a machine without GPUs passes, because it computes on the CPU.

    Raises:
        CaffeError: there are GPUs, but not one with this number.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count and not 0 <= device_id < count:
        raise CaffeError(f"GPU {device_id} does not exist: this machine has GPUs 0 to {count - 1}.")


def set_device(device_id: int) -> None:
    """Choose the GPU that set_mode_gpu uses.

    Raises:
        CaffeError: there are GPUs, but not one with this number.
    """
    global _device_id
    check(device_id)
    _device_id = device_id
    if _device.type == "cuda":
        set_mode_gpu()


def describe(device_id: int) -> list[str]:
    """Lines about one GPU for ``caffe device_query``."""
    props = torch.cuda.get_device_properties(device_id)
    return [
        f"Device id:                     {device_id}",
        f"Major revision number:         {props.major}",
        f"Minor revision number:         {props.minor}",
        f"Name:                          {props.name}",
        f"Total global memory:           {props.total_memory}",
        f"Number of multiprocessors:     {props.multi_processor_count}",
    ]
