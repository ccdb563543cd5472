"""Tiny ImageNet that comes in parts, a few at a time: `split` pieces part-0, part-1 … of one .tar.gz."""

import re
import shutil
import subprocess
from pathlib import Path

from data_prep.staging import staged_folder
from harness.errors import UserError
from harness.files import whole_file

UNIT = 1 << 20  # what a whole part's size is a multiple of: `split -b 55M`


def parts(folder: Path) -> list[Path]:
    """The parts in a folder, in their order."""
    found = {int(match[1]): path for path in folder.glob("part-*") if (match := re.fullmatch(r"part-(\d+)", path.name))}
    return [found[number] for number in sorted(found)]


def keep(given: Path, kept: Path) -> list[Path]:
    """Copy the parts of a folder to those that came before; returns all there are now."""
    for part in parts(given):
        copy = kept / part.name
        if not copy.is_file() or copy.stat().st_size != part.stat().st_size:
            with part.open("rb") as source, whole_file(copy, "wb") as target:
                shutil.copyfileobj(source, target)
    return parts(kept)


def missing(found: list[Path]) -> str | None:
    """Which part is still to come, None where all are there.

    `split` makes all parts as large as each other, but for the last, which is smaller.
    """
    names = [path.name for path in found]
    gap = next((f"part-{number}" for number, name in enumerate(names) if name != f"part-{number}"), None)
    if gap or not found:
        return gap or "part-0"
    sizes = [path.stat().st_size for path in found]
    if len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
        raise UserError(f"{found[0].parent}: the parts are not of one split: their sizes are {sizes}")
    whole = sizes[-1] < sizes[0] or len(sizes) == 1 and sizes[0] % UNIT
    return None if whole else f"part-{len(found)}"


def unpack(found: list[Path], out: Path) -> None:
    """Unpack the parts into a folder that appears whole or not at all; UserError where they are damaged."""
    with staged_folder(out, durable=False) as folder:
        # tar itself: 110,000 files take Python's tarfile minutes. It refuses names that leave the folder.
        with subprocess.Popen(["tar", "xz", "-C", str(folder)], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
            said = b""
            try:
                for part in found:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, tar.stdin, 1 << 20)
                tar.stdin.close()
            except BrokenPipeError:
                pass
            said = tar.stderr.read()
        if tar.returncode:
            reason = " ".join(said.decode(errors="replace").split())
            raise UserError(f"{found[0].parent}: the parts do not unpack: {reason}; remove them and bring them again")
