"""The origin of a run, for its journal and for the numbers of it: code, data, machine."""

import hashlib
import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_NO_CODE = (":(exclude)solvers/*.prototxt", ":(exclude)results", ":(exclude,glob)**/*.md")


def of_run(solver, gpu: str) -> dict[str, str | None]:
    """The journal's entries of a run besides its solver; None for those that are unknown."""
    return {"commit": commit(), "data": data(solver), "machine": machine(gpu), "python": platform.python_version()}


def commit() -> str | None:
    """The commit of this code, "763cb14" or "763cb14 with changes".

    Changes of solvers, results and documents do not count: the journal holds the solver, and the rate is edited by
    hand. Without a git checkout, the environment variable COMMIT names the commit; otherwise it is None.
    """
    head = _answer("git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD")
    if head is None:
        return os.environ.get("COMMIT")
    changed = _answer("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", ".", *_NO_CODE)
    return f"{head} with changes" if changed else head


def machine(gpu: str = "") -> str:
    """ "AMD EPYC 9B45, 2 cores, 24 GiB", and the GPUs where `gpu`, as caffe's --gpu, asks for one that is there."""
    cores = len(os.sched_getaffinity(0))
    parts = [_processor(), f"{cores} core{'s' * (cores > 1)}"]
    parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB")
    if gpu:
        which = () if gpu == "all" else ("-i", gpu)
        names = _answer("nvidia-smi", "--query-gpu=name", "--format=csv,noheader", *which)
        parts += names.splitlines() if names else []
    return ", ".join(parts)


def data(solver) -> str | None:
    """The identity of a solver's training images: SHA-256 of their mean, which holds every pixel's sum."""
    net = Path(solver.net)
    if not net.is_file():
        return None
    found = re.search(r'mean_file: *"([^"]+)"', net.read_text(errors="replace"))
    mean = Path(found[1]) if found else None
    return digest_of_mean(mean) if mean and mean.is_file() else None


def digest_of_mean(mean: Path) -> str:
    """The identity of the images that a mean image is of."""
    return f"mean {hashlib.sha256(mean.read_bytes()).hexdigest()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found[1].strip() if found else platform.machine()


def _answer(*command: str) -> str | None:
    """The output of a command; None if it is missing, fails, or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
