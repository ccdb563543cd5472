"""Run a command to its end, and measure its time and the peak memory of its processes together."""

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: Seconds between two readings of the memory. They are further apart if reading would take more than SHARE of a core
#: from the measured command.
INTERVAL = 0.1
SHARE = 0.02


class Finished(NamedTuple):
    """A command that succeeded."""

    seconds: float
    peak: int  #: peak memory in bytes
    output: str


def measured(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Finished:
    """Run a command; its standard output and error are one text.

    Memory is read ten times a second, or less often if a reading takes long. It is the processes' own memory; shared
    memory counts once. Pages of files (an LMDB's, libraries') do not count, since the kernel can reclaim them. A
    child's ru_maxrss would not do. It is one process's, counts such pages, and starts at its parent's value.

    Raises:
        SystemExit: the command failed; the message ends with its last line.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    ended, peaks = threading.Event(), [0]

    def look() -> None:
        pause = INTERVAL
        while not ended.wait(pause):
            begun = time.perf_counter()
            peaks.append(sum(map(_memory, _tree(process.pid))))
            pause = max(INTERVAL, (time.perf_counter() - begun) / SHARE)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        output, _ = process.communicate()
        seconds = time.perf_counter() - begun
    finally:
        ended.set()
        watcher.join()
    if process.returncode:
        said = output.strip().splitlines() or ["nothing said"]
        raise SystemExit(f"bench: {' '.join(command)}: exit status {process.returncode}: {said[-1]}")
    return Finished(seconds, max(peaks), output)


def _tree(pid: int) -> list[int]:
    children = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(entry.path + "/stat", "rb") as file:
                    # The name, in parentheses, may contain any character.
                    parent = file.read().rpartition(b")")[2].split(None, 2)[1]
            except OSError:  # the process has ended
                continue
            children[int(parent)].append(int(entry.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
