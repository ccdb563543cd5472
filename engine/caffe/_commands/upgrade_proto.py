"""upgrade_net_proto_text, upgrade_net_proto_binary, upgrade_solver_proto_text: upgrade older Caffes' files.

    upgrade_net_proto_text OLD.prototxt NEW.prototxt
    upgrade_net_proto_binary OLD.caffemodel NEW.caffemodel
    upgrade_solver_proto_text OLD.prototxt NEW.prototxt

The exit code is 1 if something had to be left out, which the log names. It is 2 if OLD does not parse.
"""

from collections.abc import Callable, Sequence

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from caffe._commands import command_line
from caffe._commands.program_help import Program
from caffe._error import CaffeError, PrototxtError
from caffe._files import prototxt, upgrade
from caffe._files.read_file import MESSAGE, PROTOTXT, read_file
from caffe._files.whole_file import write_file
from caffe._log import logger
from caffe.proto import caffe_pb2


def upgrade_net_proto_text(arguments: Sequence[str] | None = None) -> int:
    """Run the command of this name; returns its exit code."""
    return _run("upgrade_net_proto_text", arguments, caffe_pb2.NetParameter, _read_text, _write_text)


def upgrade_net_proto_binary(arguments: Sequence[str] | None = None) -> int:
    """Run the command of this name; returns its exit code."""
    return _run("upgrade_net_proto_binary", arguments, caffe_pb2.NetParameter, _read_binary, _write_binary)


def upgrade_solver_proto_text(arguments: Sequence[str] | None = None) -> int:
    """Run the command of this name; returns its exit code."""
    return _run("upgrade_solver_proto_text", arguments, caffe_pb2.SolverParameter, _read_text, _write_text)


def _run(
    name: str,
    arguments: Sequence[str] | None,
    kind: type[Message],
    read: Callable[[str, Message], None],
    write: Callable[[Message], bytes],
) -> int:
    program = Program(name, f"{name} OLD_FILE NEW_FILE")

    def work(left: list[str]) -> int:
        _, files = command_line.begin(program, left)
        if len(files) != 2:
            raise command_line.UsageError("")
        source, target = files
        message = kind()
        try:
            read(source, message)
        except PrototxtError as error:
            logger.error("Failed to parse input file as %s: %s", kind.DESCRIPTOR.name, error)
            return 2
        complete = _upgraded(message, source)
        write_file(target, write(message))
        logger.info("Wrote upgraded %s to %s", kind.DESCRIPTOR.name, target)
        return 0 if complete else 1

    return command_line.run(program, work, arguments)


def _upgraded(message: Message, source: str) -> bool:
    is_net = isinstance(message, caffe_pb2.NetParameter)
    if not (upgrade.needs_upgrade(message) if is_net else message.HasField("solver_type")):
        logger.error("File already in latest proto format: %s", source)
        return True
    if is_net:
        return upgrade.upgrade_as_needed(message, source)
    upgrade.upgrade_solver(message, source)
    return True


def _read_text(source: str, message: Message) -> None:
    content = read_file(source, PROTOTXT, CaffeError, "File not found:")
    prototxt.parse(content.decode(errors="surrogateescape"), message, source)


def _read_binary(source: str, message: Message) -> None:
    try:
        message.ParseFromString(read_file(source, MESSAGE, CaffeError, "File not found:"))
    except DecodeError:
        raise PrototxtError(f"{source}: it is cut, broken or another kind of file.") from None


def _write_binary(message: Message) -> bytes:
    return message.SerializeToString()


def _write_text(message: Message) -> bytes:
    return text_format.MessageToString(message).encode()
