"""Reads a whole file, up to the largest size that such a file can have."""

import os
import stat
from pathlib import Path

from caffe._error import CaffeError

PROTOTXT = 16 << 20
"""The most bytes of a prototxt, a hundred times the longest nets; its parser reads a million in a second."""
MESSAGE = 2**31 - 1
"""The most bytes of a serialized protobuf message, by its format."""
IMAGE = 512 << 20
"""The most bytes of an image file, more than the most decoded pixels take."""
_CHUNK = 1 << 20


def read_file(path: str | Path, most: int, error: type[CaffeError], begin: str = "Could not open file") -> bytes:
    """Return the content of a file; pipes and devices are read up to the limit too.

    Args:
        most: the largest allowed number of bytes.
        error: the error to raise if the file is missing, unreadable or too large.
        begin: beginning of the message for a file that cannot be opened.
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
