"""Lists of image files, as convert_imageset and ImageData layers read them."""

import os
import re

from caffe._error import DataError
from caffe._files.read_file import MESSAGE, read_file
from caffe._log import logger

_INT32 = range(-(2**31), 2**31)


def read_image_list(path: str, begin: str = "Could not open file") -> list[tuple[str, int]]:
    """Read lines of ``NAME LABEL`` as pairs; the label begins after the last space.

    Only a line feed ends a line, as for C++'s getline, so names may hold Unicode's other line ends. Real
    Caffe reads a label's leading digits, cut to 32 bits, or 0 without any. If that differs from the number
    in the file, this raises an error. As in Caffe, a list without any label gives 0.

    Args:
        begin: beginning of the message for a file that cannot be opened.

    Raises:
        DataError: the file is missing or cannot be read, or a label is no whole number of 32 bits.
    """
    lines = read_file(path, MESSAGE, DataError, begin).split(b"\n")
    if not lines[-1]:
        lines.pop()
    pairs, unlabelled = [], []
    for number, line in enumerate(lines, 1):
        name, space, label = line.rpartition(b" ")
        value = 0
        if space and line.strip():
            value = _label(label, f"{path}, line {number}")
        elif line.strip():
            unlabelled.append(number)
            if parse_int32(line.rpartition(b"\t")[2].strip()) is not None and b"\t" in line:
                raise DataError(f"{path}, line {number}: a tab stands before the label. Put a space there.")
        pairs.append((os.fsdecode(name if space else line), value))
    if unlabelled and len(unlabelled) < sum(1 for line in lines if line.strip()):
        raise DataError(
            f"{path}, line {unlabelled[0]}: there is no label, while other lines have one. "
            "Write the number of the class after the name and a space."
        )
    if unlabelled:
        logger.warning("%s has no labels: each image gets the label 0.", path)
    return pairs


def _label(text: bytes, where: str) -> int:
    # Strip what C++ counts as white space, and read 3.0 as the number 3.
    value = parse_int32(re.sub(rb"\.0*$", b"", text.strip()))
    if value is None:
        shown = os.fsdecode(text.strip())[:40]
        raise DataError(
            f"{where}: the label '{shown}' is no whole number from {_INT32[0]} to {_INT32[-1]}. "
            "Write the number of the class after the last space."
        )
    return value


def parse_int32(text: bytes) -> int | None:
    """Parse a whole number of 32 bits; returns None for any other text."""
    # int() would raise for thousands of digits.
    if not re.fullmatch(rb"[+-]?0*\d{1,10}", text):
        return None
    value = int(text)
    return value if value in _INT32 else None
