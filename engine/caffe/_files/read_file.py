"""Reading a file whole, and not more of it than such a file can have."""

import os
import stat
from pathlib import Path

from caffe._error import CaffeError

PROTOTXT = 16 << 20
"""Bytes of a prototxt at most: a hundred times the longest nets; its parser reads a million in a second."""
MESSAGE = 2**31 - 1
"""Bytes of a serialized protobuf message at most, by its format."""
IMAGE = 512 << 20
"""Bytes of an image file at most: more than the pixels that are decoded take."""
_CHUNK = 1 << 20


def read_file(path: str | Path, most: int, error: type[CaffeError], begin: str = "Could not open file") -> bytes:
    """The content of a file; pipes and devices are read too, as far as they may.

    Args:
        most: how many bytes it may have.
        error: what to raise where it is missing, cannot be read, or is larger.
        begin: of the message where it cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size <= most:
                return file.read()
            content = bytearray()
            while len(content) <= most and status.st_size <= most and (chunk := file.read(_CHUNK)):
                content += chunk
    except OSError as cause:
        raise error(f"{begin} {path}: {cause.strerror}") from None
    except ValueError:
        raise error(f"{begin} {path!r}: there is a zero byte in its name.") from None
    if max(len(content), status.st_size) > most:
        raise error(f"{path} is too large: it has more than {most:,} bytes, which no such file has.")
    return bytes(content)
