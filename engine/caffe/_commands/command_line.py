"""Common work of all commands: reading the command line, help, the log, and errors.

An error is one line in glog's format that says what is wrong, where, and what to do. The exit code is 1.
``--traceback``, or CAFFE_TRACEBACK=1 in the environment, also shows the place in the program.
"""

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

from caffe import _log, _log_flags
from caffe._commands import flag_reader
from caffe._commands.gflags import GFLAGS, HELP_FLAGS
from caffe._commands.program_help import HelpAsked, Program
from caffe._error import CaffeError
from caffe._log import logger


class UsageError(Exception):
    """The command line cannot be used."""


def parse(
    arguments: Sequence[str], flags: Mapping[str, bool | int | str] | None = None, program: str = "caffe"
) -> tuple[SimpleNamespace, list[str]]:
    """Split a command line into flags and the rest.

    A flag is ``--name=value`` or ``--name value``, with one dash or two. A bool's flag is ``--name``,
    ``--noname`` or ``--name=false``, but never takes a value after a space. Words after ``--`` are no
    flags. The flags of glog and gflags are known too.

    Args:
        flags: the default of each flag by name, which also gives its type.
        program: selects sections of a --flagfile.

    Returns:
        The flags, with `warnings` added, and the rest.

    Raises:
        UsageError: a flag is unknown, or its value has another type.
        HelpAsked: a flag shows something and ends the program.
    """
    of_log, _ = _log_flags.from_environment(os.environ)
    of_all = {name: flag.default for name, flag in GFLAGS.items()} | {"traceback": False}
    reader = flag_reader.FlagReader(program, {**of_all, **of_log, "alsologtostderr": True, **(flags or {})})
    rest = reader.read(arguments)
    if any(reader.values[name] for name in HELP_FLAGS):
        raise HelpAsked(reader.values, rest)
    allowed = set(filter(None, reader.values["undefok"].split(",")))
    for name in reader.unknown:
        if name not in allowed and name.removeprefix("no") not in allowed:
            reader.errors.append(f"{reader.unknown[name]}{nearest(name, reader.values)}")
    if reader.errors:
        raise UsageError("\nERROR: ".join(reader.errors))
    return SimpleNamespace(**reader.values, warnings=reader.warnings), rest


def start_log(program: str, flags: SimpleNamespace) -> None:
    """Log as the flags say, beginning with the command line reader's warnings."""
    _log.start(vars(flags), program)
    if flags.log_link and not os.path.isdir(flags.log_link):
        flags.warnings.append(f"--log_link={flags.log_link}: no such folder; no link is made there.")
    for warning in flags.warnings:
        logger.warning("%s", warning)


def begin(program: Program, arguments: Sequence[str]) -> tuple[SimpleNamespace, list[str]]:
    """Read a program's command line and start its log."""
    flags, rest = parse(arguments, {name: flag.default for name, flag in program.flags.items()}, program.name)
    start_log(program.name, flags)
    return flags, rest


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a question that names the known word nearest to ``word``, or '' if none is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def run(program: Program, work: Callable[[list[str]], int | None], arguments: Sequence[str] | None) -> int:
    """Do a command's work and return its exit code.

    Args:
        work: takes the command line, and returns the exit code unless it is 0.
        arguments: the command line, or None for the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return work(words) or 0
        except HelpAsked as asked:
            print(program.answer(asked))
            return 0
    except UsageError as error:
        brief = program.usage.partition("\n")[0]
        text = f"ERROR: {error}\nusage: {brief}, and --help says more" if str(error) else program.help_short()
        print(text, file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("CAFFE_TRACEBACK") or any(word.lstrip("-") == "traceback" for word in words):
            traceback.print_exc()
        logger.critical("%s", " ".join(_message_of(error).split()))
    return 1


def _message_of(error: Exception) -> str:
    """The error as text: what is wrong, where, and what to do."""
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
