"""A command run to its end: how long it took, and how much memory it and the processes it starts held at once."""

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: Seconds between two looks at the memory, or more, for looking may take this share of one core: what is measured
#: would go without it.
INTERVAL = 0.1
SHARE = 0.02


class Finished(NamedTuple):
    """A command that ended well."""

    seconds: float
    peak: int  #: bytes
    output: str


def measured(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Finished:
    """Run a command; its standard output and error are one text.

    Memory is looked at ten times a second, or less often where a look takes long. It is what the processes have made
    for themselves, once where they share it, without the pages of files (an LMDB's, libraries'), which the kernel can
    take back. A child's ru_maxrss would not do: it is one process's, counts such pages, and begins with that of who
    started it.

    Raises:
        SystemExit: the command failed; its last words.
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
                    # The name, in parentheses, may hold anything.
                    parent = file.read().rpartition(b")")[2].split(None, 2)[1]
            except OSError:  # it has ended
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
