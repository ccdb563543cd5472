"""Lists the places for tries, on GPUs or the CPU; each place trains one try at a time."""

import os
import subprocess

from harness.errors import UserError


def devices(gpu: str, jobs: int) -> list[str]:
    """A value of caffe's --gpu for each place: `jobs` on each GPU of "0,1" or "all", or on the CPU ("").

    Raises:
        UserError: no GPU is found for "all", or a word is no number.
    """
    if gpu == "all":
        found = _all()
        if not found:
            raise UserError("GPU=all: nvidia-smi finds no GPU; GPU= takes the CPU")
    else:
        found = list(dict.fromkeys(gpu.replace(",", " ").split())) or [""]
    if wrong := next((word for word in found if word and not word.isdecimal()), None):
        raise UserError(f'GPU="{gpu}": {wrong} is no GPU\'s number; as GPU=0,1 or GPU=all')
    # All first places come before the second ones, so that two tries use two GPUs.
    return [device for _ in range(jobs) for device in found]


def _all() -> list[str]:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def threads(places: list[str]) -> dict[str, str]:
    """Further environment variables of a try: tries that share the CPU each get a part of the cores."""
    sharing = places.count("")
    if sharing < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // sharing))}
