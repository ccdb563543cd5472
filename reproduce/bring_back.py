"""What of a reproduction is worth bringing back from a lent machine, in pieces of at most 16 MiB; and unpacking it.

    python -m reproduce.bring_back OUT reproduction-gpu        unpacks what reproduce/loan.sh left in OUT

A reproduction.tar, cut into reproduction.tar.0, .1 …, holds each file gzipped, in the order of their worth, as long
as they fit: logs, journals and tables; class scores; whole snapshots whose weights are small (NIN: exact, to score
and to train on with); all other scores. AlexNet's weights (84 MB) stay behind, its scores come.
"""

import argparse
import contextlib
import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import commands
from harness.errors import UserError
from harness.files import whole_file
from training.snapshots import newest_whole

NAME = "reproduction.tar"
PIECE = 16 << 20  # bytes of a file
PIECES = 7  # and one beside them for what was said
SMALL = 16 << 20  # bytes of weights that are worth their room
_TOLD = (".prototxt", ".log", ".jsonl", ".json", ".csv", ".md", ".txt", ".html")


@dataclass(frozen=True)
class Packed:
    """What was packed: files, and those that had no room."""

    files: list[str]
    left_out: list[str]


def worth(folder: Path) -> Iterator[Path]:
    """The files of a reproduction that are worth bringing back, the best first."""
    snapshots = {path for path in folder.rglob("*_iter_*")}
    for path in sorted(folder.rglob("*")):
        told = path.suffix in _TOLD and path not in snapshots and "data" not in path.relative_to(folder).parts[:1]
        if told and path.is_file():
            yield path
    scores = sorted(folder.glob("runs/*/scores/**/*.npz"))
    first = [path for path in scores if path.name == "val.npz" and path.parent.name == "scores"]
    yield from first
    for run in sorted(folder.glob("runs/*/")):
        with contextlib.chdir(folder):  # a state names its weights as seen from there
            newest, _ = newest_whole(str(Path("runs", run.name, run.name)))
        found = sorted(run.glob(f"{run.name}_iter_{newest.iteration}.*")) if newest else []
        if found and (run / newest.model.name).stat().st_size <= SMALL:
            yield from found
    yield from (path for path in scores if path not in first)


def pack(folder: Path, others: list[Path], out: Path, room: int = PIECE * PIECES, piece: int = PIECE) -> Packed:
    """Write the pieces into `out`; `others` are files from elsewhere, which are put at the top, first of all."""
    archive, files, left_out = io.BytesIO(), [], []
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, name in [*((path, path.name) for path in others),
                           *((path, str(path.relative_to(folder))) for path in worth(folder))]:  # fmt: skip
            content = gzip.compress(path.read_bytes(), 3, mtime=0)
            # A member takes a header and whole blocks, the end of the archive two more, filled up to a record.
            if archive.tell() + len(content) + (2 << 10) + tarfile.RECORDSIZE > room:
                left_out.append(name)
                continue
            member = tarfile.TarInfo(f"{name}.gz")
            member.size, member.mtime = len(content), int(path.stat().st_mtime)
            tar.addfile(member, io.BytesIO(content))
            files.append(name)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{NAME}.*"):
        old.unlink()
    whole = archive.getbuffer()
    for number, begin in enumerate(range(0, len(whole), piece)):
        with whole_file(out / f"{NAME}.{number}", "wb") as file:
            file.write(whole[begin : begin + piece])
    return Packed(files, left_out)


def unpack(out: Path, folder: Path) -> list[str]:
    """Put the files of the pieces in `out` into a new folder; UserError where a piece is missing or damaged."""
    pieces = [out / f"{NAME}.{number}" for number in range(len(list(out.glob(f"{NAME}.*"))))]
    if not pieces or not all(piece.is_file() for piece in pieces):
        raise UserError(f"{out}: no {NAME}.0, or a gap after it; give the folder that reproduce/loan.sh wrote to")
    if folder.exists():
        raise UserError(f"{folder}: is there already; name a new folder")
    whole = io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=whole) as tar:
            for member in tar:
                _extract(tar, member, beside, out)
        for path in sorted(beside.rglob("*.gz")):
            with gzip.open(path) as source, path.with_suffix("").open("wb") as target:
                shutil.copyfileobj(source, target)
            path.unlink()
        beside.replace(folder)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"{out}: the pieces are damaged: {error}; bring them back again") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, out: Path) -> None:
    """One file of a tar, written below the folder. (extractall's filters are not in Debian 12's Python 3.11.2.)"""
    path = Path(member.name)
    if member.isdir():
        return
    if not member.isreg() or path.is_absolute() or ".." in path.parts:
        raise UserError(f"{out}: the pieces hold {member.name!r}, no file of a reproduction; bring them back again")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with tar.extractfile(member) as source, (folder / path).open("wb") as target:
        shutil.copyfileobj(source, target)


def main(argv: list[str] | None = None) -> str | None:
    parser = argparse.ArgumentParser(prog="python -m reproduce.bring_back", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="the folder with reproduction.tar.0 and so on")
    parser.add_argument("folder", type=Path, help="a new folder, for the files")
    options = parser.parse_args(argv)
    try:
        files = unpack(options.out, options.folder)
    except (UserError, OSError) as error:
        return f"reproduce.bring_back: {error}"
    print(f"{options.folder}: {len(files)} files; its numbers: make results RUNS={options.folder / 'runs'}")
    return None


if __name__ == "__main__":
    commands.run(main)
