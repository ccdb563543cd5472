"""The available memory, so that a request for more is refused beforehand.

Linux hands out memory that it does not have, and later ends the process that uses it, without a message.
"""

import os
import resource
import sys
from pathlib import Path


def available() -> int:
    """Bytes of the machine's memory that this process can still have.

    The result is the smallest of three numbers. One is the machine's free memory with its caches. The others
    are what remains of the control group's limit (a container) and of the process's (``ulimit -v``).
    """
    return max(0, min(_of_machine(), _of_control_groups(), _of_limit()))


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0))
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# Version 2 of control groups, then version 1: the files with a group's limit, its use and its caches.
_CONTROL_GROUPS = (
    ("", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _of_control_groups() -> int:
    """The memory that the control groups of this process still allow, parent groups included."""
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
                allowed = int((folder / limit).read_text())  # int() refuses "max", so the group has no limit
                least = min(least, allowed - int((folder / used).read_text()) + int(stat[cached]))
            except (OSError, KeyError, ValueError):
                pass  # The root of version 2 has no such files.
    return least


def _of_limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def available_on_device() -> int:
    """The same as available, for the device that nets are computed on."""
    import torch

    from caffe._device import device as _device

    device = _device.current()
    if device.type != "cuda":
        return available()
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached


def need(size: int, what: str, error: type[Exception]) -> None:
    """Raise an error unless there are ``size`` bytes of memory.

    Args:
        what: the subject of the message.
    """
    free = available()
    if size > free:
        raise error(f"{what} takes {gigabytes(size)} of memory, and there are {gigabytes(free)}.")


def gigabytes(size: int) -> str:
    """A size as text for users."""
    return f"{size / 1e9:.2f} GB" if size < 1e12 else f"{size / 1e9:.3g} GB"
