"""The C library's allocator, set to keep memory freed in one iteration for the next."""

import ctypes
import functools
import os

from caffe._log import logger

# glibc's numbers for mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


@functools.cache
def keep_freed_memory() -> None:
    """Keep freed memory in the process, as real Caffe keeps its blobs.

    By default glibc returns large blocks to the kernel and gets them again as zeroed pages, with one fault
    each. A training net frees and takes the same blocks in every iteration. The faults took a third of
    NIN's time (bench/README.md). Nothing changes without glibc, or if the user has set its MALLOC_ variables.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    if not (mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1)):
        logger.warning("mallopt refused to keep freed memory: an iteration will take longer.")
