"""Command lines as gflags reads them, and what every command does around its work."""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

from caffe._error import CaffeError
from caffe._log import logger

# Where glog's lines go; ours always go to standard error.
_OF_GLOG = ("logtostderr", "alsologtostderr")


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
    known = {**(flags or {}), **dict.fromkeys(_OF_GLOG, False)}
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
        if name == "help":
            raise UsageError("")
        if name.startswith("no") and isinstance(known.get(name[2:]), bool) and not given:
            name, given, value = name[2:], "=", "false"
        if name not in known:
            raise UsageError(f"unknown command line flag '{name}'")
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


def run(usage: str, work: Callable[[list[str]], int | None], arguments: Sequence[str] | None) -> int:
    """Do a command's work; returns its exit status.

    Args:
        usage: printed for a command line that does not fit.
        work: takes the command line, and returns the exit status where it is not 0.
        arguments: None for those of the process.
    """
    try:
        return work(list(sys.argv[1:] if arguments is None else arguments)) or 0
    except UsageError as error:
        print(*filter(None, [f"ERROR: {error}" if str(error) else "", f"usage: {usage}"]), sep="\n", file=sys.stderr)
    except CaffeError as error:
        logger.critical("%s", error)
    except BrokenPipeError:
        sys.stderr.close()
    return 1
