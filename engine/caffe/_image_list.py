"""Lists of image files, as convert_imageset and ImageData layers read them."""

import os
import re

from caffe._error import DataError
from caffe._read_file import MESSAGE, read_file


def read_image_list(path: str, begin: str = "Could not open file") -> list[tuple[str, int]]:
    """Lines of ``NAME LABEL`` as pairs; the label begins after the last space, and one that is no number is 0.

    Lines end where C++'s getline has them end: a name may hold whatever else Unicode takes for a line's end.

    Args:
        begin: how the message of a file that cannot be opened begins.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    lines = read_file(path, MESSAGE, DataError, begin).split(b"\n")
    if not lines[-1]:
        lines.pop()
    pairs = []
    for line in lines:
        name, space, label = line.rpartition(b" ")
        number = re.match(rb"\s*([+-]?\d+)", label)
        pairs.append((os.fsdecode(name if space else line), int(number[1]) if number else 0))
    return pairs
