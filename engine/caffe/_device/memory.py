"""How much memory there is, so that what asks for more is refused before it is taken.

Linux hands out memory that it does not have and later ends the process that uses it, without a word.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from caffe._error import NetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caffe._blob import Blob
    from caffe._layers.base import Layer

_FLOAT = 4


def available() -> int:
    """Bytes of the machine's memory that this process can still have.

    The least of what is free with what caches would give back, of what its control group allows (a container), and
    of its own limit (``ulimit -v``).
    """
    return max(0, min(_of_machine(), _of_control_groups(), _of_limit()))


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0))
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# Where version 2 of control groups, and version 1, keep a group's limit, what it uses, and what caches would give back.
_CONTROL_GROUPS = (
    ("", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _of_control_groups() -> int:
    """What the group of this process and those above it allow."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return sys.maxsize
    of_line = (line.split(":", 2) for line in lines)
    groups = {name: place for _, names, place in of_line for name in names.split(",")}
    least = sys.maxsize
    for controller, root, limit, used, cached in _CONTROL_GROUPS:
        parts = Path(groups.get(controller, "/")).parts[1:]
        for depth in range(len(parts) + 1):
            folder = Path(root).joinpath(*parts[:depth])
            try:
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                allowed = int((folder / limit).read_text())  # "max" is no number: no limit
                least = min(least, allowed - int((folder / used).read_text()) + int(stat[cached]))
            except (OSError, KeyError, ValueError):
                pass  # the root of version 2 has no such files
    return least


def _of_limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _of_device() -> int:
    """As available, of the device that nets are computed on."""
    import torch

    from caffe._device import device as _device

    device = _device.current()
    if device.type != "cuda":
        return available()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def need(size: int, what: str, error: type[Exception]) -> None:
    """Raise an error unless there are ``size`` bytes of memory.

    Args:
        what: begins the message: what takes them.
    """
    free = available()
    if size > free:
        raise error(f"{what} takes {gigabytes(size)} of memory, and there are {gigabytes(free)}.")


def gigabytes(size: int) -> str:
    """A size for a person."""
    return f"{size / 1e9:.2f} GB" if size < 1e12 else f"{size / 1e9:.3g} GB"


class NetMemory:
    """What a net takes at the least, added up while it is made: its parameters and what is between its layers.

    Args:
        training: then each parameter has a gradient.
    """

    def __init__(self, training: bool):
        self.copies = 2 if training else 1
        self.free = _of_device()
        self.bytes = 0

    def add(self, layer: Layer, new_tops: Iterable[Blob]) -> None:
        """Add a layer; ``new_tops`` are those that it does not compute in place.

        Raises:
            NetError: the net takes more than there is; the layer is named.
        """
        self.bytes += _FLOAT * self.copies * sum(blob.count for blob in layer.blobs)
        if not layer.shares_values:
            self.bytes += _FLOAT * sum(blob.count for blob in new_tops)
        if self.bytes > self.free:
            raise NetError(
                f"Layer '{layer.name}' ({layer.type}): up to here the net takes {gigabytes(self.bytes)} of memory, and "
                f"there are {gigabytes(self.free)}; make batch_size, the images or num_output smaller."
            )
