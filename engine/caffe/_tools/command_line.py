"""Command lines as gflags reads them, and what every command does around its work: how it fails.

An error is one line in glog's format: what is wrong, where, what to do; the exit status is 1. Where in the
program it happened is shown with ``--traceback`` or with CAFFE_TRACEBACK=1 in the environment.
"""

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from caffe._error import CaffeError
from caffe._log import logger

# Where glog's lines go, which for ours is always standard error; and the one that run() heeds.
_OF_ALL = ("logtostderr", "alsologtostderr", "traceback")


class UsageError(Exception):
    """A command line that says nothing one can do."""


def parse(
    arguments: Sequence[str], flags: Mapping[str, bool | int | str] | None = None
) -> tuple[SimpleNamespace, list[str]]:
    """Split a command line into flags and the rest.

    ``--name=value``, ``--name value``, one dash or two; for a bool ``--name``, ``--noname``,
    ``--name=false`` but never a value after a space; all after ``--`` is no flag.

    Args:
        flags: the default of each flag by name, which also tells its type.

    Raises:
        UsageError: an unknown flag or a value of another type.
    """
    known = {**(flags or {}), **dict.fromkeys(_OF_ALL, False)}
    values, rest, left = dict(known), [], list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            rest += left
            break
        if not argument.startswith("-") or argument == "-":
            rest.append(argument)
            continue
        name, given, value = argument.lstrip("-").partition("=")
        if name in ("help", "h"):
            raise UsageError("")
        if name.startswith("no") and isinstance(known.get(name[2:]), bool) and not given:
            name, given, value = name[2:], "=", "false"
        if name not in known:
            raise UsageError(f"unknown command line flag '{name}'{nearest(name, known)}")
        if not given:
            if isinstance(known[name], bool):
                value = "true"
            elif not left:
                raise UsageError(f"flag '--{name}' is missing its value")
            else:
                value = left.pop(0)
        values[name] = _value(name, value, type(known[name]))
    return SimpleNamespace(**values), rest


def _value(name: str, text: str, kind: type) -> bool | int | str:
    if kind is bool:
        if text.lower() not in ("1", "t", "true", "y", "yes", "0", "f", "false", "n", "no"):
            raise UsageError(f"illegal value '{text}' specified for bool flag '{name}'")
        return text.lower() in ("1", "t", "true", "y", "yes")
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"illegal value '{text}' specified for int32 flag '{name}'") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """A question that names the known word nearest to one, '' where none is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def run(usage: str, work: Callable[[list[str]], int | None], arguments: Sequence[str] | None) -> int:
    """Do a command's work; returns its exit status.

    Args:
        usage: printed for a command line that does not fit.
        work: takes the command line, and returns the exit status where it is not 0.
        arguments: None for those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return work(words) or 0
    except UsageError as error:
        brief = usage.partition("\n")[0]
        told = f"ERROR: {error}\nusage: {brief}, and --help says more" if str(error) else f"usage: {usage}"
        print(told, file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("CAFFE_TRACEBACK") or any(word.lstrip("-") == "traceback" for word in words):
            traceback.print_exc()
        logger.critical("%s", " ".join(_told(error).split()))
    return 1


def _told(error: Exception) -> str:
    """What is wrong, where, what to do."""
    if isinstance(error, CaffeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}"
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return f"Out of memory; a smaller batch_size needs less. ({error})"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return (
        f"{type(error).__name__} in {place}: {error}. With --traceback (or CAFFE_TRACEBACK=1) it says how it got there."
    )
