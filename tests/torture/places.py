"""Places to train in that have no room, or cannot be written."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture.faults import NotHere

REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def small_disk(folder: str, megabytes: int, files: int = 10_000) -> Iterator[Path]:
    """Mount a file system in memory with room for so many megabytes and files.

    Raises:
        NotHere: mounting needs root, and a system that allows it.
    """
    place = Path(folder)
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m,nr_inodes={files}", "torture", folder)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only_over(folder: Path) -> Iterator[None]:
    """Replace a folder by an empty one that nobody can write to, root included.

    Raises:
        NotHere: as small_disk.
    """
    _mount("-t", "tmpfs", "-o", "size=1m,ro", "torture", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*words: str) -> None:
    if os.geteuid() != 0:
        raise NotHere("needs root, to mount a small file system")
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise NotHere(f"this system does not let it mount a small file system ({done.stderr.strip()})")
