"""The log files of glog: one per level, with the lines of its level and of all higher ones."""

import contextlib
import os
import pwd
from datetime import datetime

LEVELS = ("INFO", "WARNING", "ERROR", "FATAL")
_HEADER = """Log file created at: {now:%Y/%m/%d %H:%M:%S}
Running on machine: {host}
Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg
"""


def _user() -> str:
    """The user's name as glog writes it in a file's name."""
    name = os.environ.get("USER")
    if name is None:
        with contextlib.suppress(KeyError):
            name = pwd.getpwuid(os.getuid()).pw_name
    return (name or "invalid-user").replace("/", "_")


class LogFiles:
    """Writes lines to the files of their levels. The first line creates a file.

    Args:
        directory: existing folder of the files.
        program: first word of their names.
        mode: their permissions, before the process's umask.
        max_megabytes: size at which a new file begins.
        link_directory: another folder for links, or ''.

    Attributes:
        links: False writes no links; only the first worker writes them.
    """

    def __init__(self, directory: str, program: str, mode: int, max_megabytes: int, link_directory: str):
        self.directory = directory
        self.links = True
        self._program, self._mode, self._link_directory = program, mode & 0o7777, link_directory
        self._limit = max(max_megabytes, 1) << 20
        self._files: dict[str, _File] = {}

    def write(self, level: int, text: bytes) -> None:
        """Write a line to the files of a level, 0 to 3, and of all lower ones, the highest first.

        Raises:
            OSError: at least one file lacks the line; no file has a part of it.
        """
        failed = None
        for name in reversed(LEVELS[: level + 1]):
            try:
                self._file(name).write(text)
            except OSError as error:
                failed = error
        if failed:
            raise failed

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _file(self, level: str) -> "_File":
        file = self._files.get(level)
        if file and file.size < self._limit and file.pid == os.getpid():
            return file
        now, host = datetime.now(), os.uname().nodename
        base = f"{self._program}.{host}.{_user()}.log.{level}.{now:%Y%m%d-%H%M%S}.{os.getpid()}"
        path = os.path.join(self.directory, base)
        if file and file.path == path:  # full within a second: a new file would have the same name
            return file
        new = _File(path, self._mode)
        if new.size == 0:
            try:
                new.write(_HEADER.format(now=now, host=host).encode())
            except OSError:
                new.close()
                os.unlink(path)
                raise
        if file:
            file.close()
        self._files[level] = new
        if self.links:
            self._link(base, os.path.join(self.directory, f"{self._program}.{level}"))
            if self._link_directory:
                self._link(os.path.abspath(path), os.path.join(self._link_directory, f"{self._program}.{level}"))
        return new

    @staticmethod
    def _link(target: str, link: str) -> None:
        with contextlib.suppress(OSError):  # As in glog, a failed link does not matter.
            os.unlink(link)
        with contextlib.suppress(OSError):
            os.symlink(target, link)


class _File:
    """One log file, written without a buffer. An existing file is appended to: its name has this process's number."""

    def __init__(self, path: str, mode: int):
        self.path, self.pid = path, os.getpid()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        self.size = os.fstat(self._fd).st_size

    def write(self, text: bytes) -> None:
        rest = memoryview(text)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
            error.filename = self.path
            raise
        self.size += len(text)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)
