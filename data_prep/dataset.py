"""Find Tiny ImageNet, or download the official zip, and verify it (`make data`).

    python -m data_prep.dataset --out data/tiny-imagenet-200.zip

The command takes the first of these that exists:

1. The zip or folder that TINY_IMAGENET names. Any packing of the official layout works, as its structure is checked.
2. The set that an earlier call got (source.py).
3. The zip at --out, which must have the official md5.
4. The official download.

It prints the path on standard output, and remembers it.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from data_prep import source
from data_prep.download import download
from data_prep.errors import exit_status
from data_prep.tiny_imagenet import TinyImageNet
from harness import commands
from harness.errors import UserError

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
DEFAULT_ZIP = Path("data/tiny-imagenet-200.zip")


def find(zip_path: Path = DEFAULT_ZIP) -> Path:
    """The set's path: from TINY_IMAGENET, otherwise from the last `make data`, otherwise ``zip_path``.

    Raises ``UserError`` if there is nothing, or if the set of the last `make data` has changed.
    """
    named = source.named()
    path = Path(named) if named else source.recall(zip_path.parent) or zip_path
    if not path.exists():
        why = "TINY_IMAGENET names it, and" if named else "run `make data`, or set TINY_IMAGENET:"
        raise UserError(f"{path}: {why} there is no such zip or folder")
    return path


def fetch(zip_path: Path, url: str = URL, md5: str = MD5) -> Path:
    """The set's path, after any necessary download to ``zip_path`` and a check. May raise ``UserError``."""
    if source.named():
        return find()
    before = source.recall(zip_path.parent)
    if before and before.absolute() != zip_path.absolute():
        return before
    if not zip_path.exists():
        download(url, zip_path, md5)
    elif before is None and file_md5(zip_path) != md5:
        raise UserError(
            f"{zip_path}: its md5 is not the official zip's {md5}; if it is a packing of your own, take it as it is: "
            f"make data TINY_IMAGENET={zip_path}; else move it away, and make data downloads the official one"
        )
    return zip_path


def file_md5(path: Path) -> str:
    """The md5 of a file, in hexadecimal. It identifies the official zip (no defence against forgery)."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m data_prep.dataset", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_ZIP, help=f"where the zip goes (default {DEFAULT_ZIP})")
    args = parser.parse_args(argv)

    def command() -> None:
        path = fetch(args.out)
        dataset = TinyImageNet.open(path)
        source.remember(path, args.out.parent)
        sizes = f"{len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test images"
        print(f"Tiny ImageNet: {len(dataset.wnids)} classes, {sizes}", file=sys.stderr)
        print(path)

    return exit_status(command)


if __name__ == "__main__":
    commands.run(main)
