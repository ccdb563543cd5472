"""The only parser of prototxts, which names an error's place and reason."""

import codecs
import difflib
import re
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from caffe._error import PrototxtError
from caffe._files import upgrade
from caffe._files.read_file import PROTOTXT, read_file
from caffe.proto import caffe_pb2

M = TypeVar("M", bound=Message)


def nearest(name: str, known: list[str]) -> str:
    """Return a sentence that names the known words nearest to ``name``, or '' if none is near."""
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not matches:
        folded = {k.lower(): k for k in known}
        matches = [folded[m] for m in difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.5)]
    return f" Did you mean {' or '.join(matches)}?" if matches else ""


def parse(text: str, message: M, where: str) -> M:
    """Parse protobuf text format into ``message`` and return it.

    Args:
        text: the prototxt.
        message: an empty message of the type to parse.
        where: the file's name, for errors.

    Raises:
        PrototxtError: the message has line, column, reason and the nearest known name.
    """
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        what = str(error)
    except RecursionError:
        what = "messages are nested too deep"
    except (UnicodeError, SystemError):  # protobuf raises these for a name that is no text.
        what = "it holds bytes that are no text, other than in comments and strings"
    position = re.match(r"(\d+):(\d+) : ?", what)
    place = f"{where}:{position[1]}:{position[2]}" if position else where
    reason = what[position.end() :] if position else what
    raise PrototxtError(f"{place}: {_plain(reason, message.DESCRIPTOR.file.pool)}") from None


def _plain(reason: str, pool: DescriptorPool) -> str:
    """protobuf's reason in the words of a prototxt's author."""
    if unknown := re.search(r'Message type "([\w.]+)" has no field named "(\w+)"', reason):
        known = [field.name for field in pool.FindMessageTypeByName(unknown[1]).fields]
        return f"{unknown[1].removeprefix('caffe.')} has no field '{unknown[2]}'.{nearest(unknown[2], known)}"
    if unknown := re.search(r'Enum type "([\w.]+)" has no value named (\w+)', reason):
        known = [value.name for value in pool.FindEnumTypeByName(unknown[1]).values]
        return f"{unknown[1].removeprefix('caffe.')} has no value {unknown[2]}.{nearest(unknown[2], known)}"
    if "surrogates not allowed" in reason:
        return "the string is no UTF-8 text. Convert the file, for example with: iconv -f GBK -t UTF-8."
    if "unicodeescape" in reason:
        return "the string has a backslash that begins no escape sequence; a backslash itself is written \\\\."
    return reason


def _read(path: str | Path, message: M) -> M:
    content = read_file(path, PROTOTXT, PrototxtError)
    if content.startswith(codecs.BOM_UTF8):
        raise PrototxtError(f"{path}:1:1: the file begins with a byte order mark; save it as UTF-8 without one.")
    return parse(content.decode("utf-8", errors="surrogateescape"), message, str(path))


def read_net_param(path: str | Path) -> caffe_pb2.NetParameter:
    """Read a net's prototxt and upgrade it to today's form."""
    return upgrade.upgrade_net(_read(path, caffe_pb2.NetParameter()), str(path))


def read_solver_param(path: str | Path) -> caffe_pb2.SolverParameter:
    """Read a solver's prototxt, upgrade it to today's form and set its snapshot_prefix."""
    solver = upgrade.upgrade_solver(_read(path, caffe_pb2.SolverParameter()), str(path))
    upgrade.default_snapshot_prefix(solver, str(path))
    return solver
