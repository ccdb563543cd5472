"""Reads flags as gflags does, from a command line, --flagfile's files and the variables FLAGS_NAME."""

import fnmatch
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from caffe._commands.gflags import value_of


class FlagReader:
    """Reads flags in order; a later value replaces an earlier one.

    Args:
        program: the program's name, which selects sections of a flag file.
        defaults: the default of each flag by name, which also gives its type.

    Attributes:
        values: each flag's value by name.
        errors: errors of known flags.
        unknown: a message for each unknown flag by name; --undefok may allow them.
        warnings: messages about ignored lines of flag files.
    """

    def __init__(self, program: str, defaults: Mapping[str, bool | int | str]):
        self.values = dict(defaults)
        self.errors: list[str] = []
        self.unknown: dict[str, str] = {}
        self.warnings: list[str] = []
        self._program = program
        self._types = {name: type(default) for name, default in defaults.items()}
        self._open: list[str] = []  # flag files and variables that are being read

    def read(self, arguments: Sequence[str]) -> list[str]:
        """Read a command line; returns the words that are not flags."""
        rest, left = [], list(arguments)
        while left:
            argument = left.pop(0)
            if argument == "--":
                return rest + left
            if not argument.startswith("-") or argument == "-":
                rest.append(argument)
                continue
            name, value = self._split(argument)
            if name not in self._types:
                self.unknown[name] = f"unknown command line flag '{name}'"
            elif value is None and not left:
                self.errors.append(f"flag '--{name}' is missing its value")
            else:
                self._set(name, left.pop(0) if value is None else value)
        return rest

    def _split(self, argument: str) -> tuple[str, str | None]:
        """A flag's known name and its value, or None without a value."""
        name, given, value = re.sub("^--?", "", argument).partition("=")
        if name == "h":
            name = "help"
        if name not in self._types:
            name = name.replace("-", "_") if name.replace("-", "_") in self._types else name
        if self._types.get(name.removeprefix("no")) is bool and name not in self._types:
            return name.removeprefix("no"), "false"
        if not given and self._types.get(name) is bool:
            return name, "true"
        return name, value if given else None

    def _set(self, name: str, text: str, where: str = "") -> None:
        try:
            self.values[name] = value_of(name, text, self._types[name])
        except ValueError as error:
            self.errors.append(f"{where}{error}")
        if name == "flagfile":
            for path in filter(None, text.split(",")):
                self._read_from(path, lambda path=path: self._read_file(path))
        elif name in ("fromenv", "tryfromenv"):
            for each in filter(None, text.split(",")):
                self._read_from(f"FLAGS_{each}", lambda each=each: self._read_variable(each, name == "fromenv"))

    def _read_from(self, source: str, read) -> None:
        if source in self._open:
            self.errors.append(f"{source} reads itself, by way of {', '.join(self._open)}")
            return
        self._open.append(source)
        read()
        self._open.pop()

    def _read_variable(self, name: str, is_needed: bool) -> None:
        if name not in self._types:
            self.unknown[name] = f"unknown command line flag '{name}' (via --fromenv or --tryfromenv)"
        elif f"FLAGS_{name}" in os.environ:
            self._set(name, os.environ[f"FLAGS_{name}"], f"FLAGS_{name}: ")
        elif is_needed:
            self.errors.append(f"FLAGS_{name} not found in environment, where --fromenv={name} looks for it")

    def _read_file(self, path: str) -> None:
        """Read a flag file: flags, comments, and lines of program names that begin a section for those programs.

        As in gflags, unknown flags are ignored, because several programs may share a file.
        """
        try:
            lines = Path(path).read_text(errors="surrogateescape").split("\n")
        except (OSError, ValueError) as error:
            fault = getattr(error, "strerror", None) or error
            self.errors.append(f"--flagfile={path}: {fault}")
            return
        names, is_ours, after_name = (self._program, sys.argv[0]), True, False
        for number, line in enumerate(map(str.strip, lines), 1):
            if not line or line.startswith("#"):
                continue
            if not line.startswith("-"):
                matches = any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in line.split())
                is_ours, after_name = matches or (is_ours and after_name), True
                continue
            after_name = False
            if is_ours:
                self._read_line(line, f"{path}:{number}: ")

    def _read_line(self, line: str, where: str) -> None:
        name, value = self._split(line)
        if name in self._types and value is not None:
            self._set(name, value, where)
        elif name in self._types:
            self.warnings.append(f"{where}'{line}' is ignored: in a flag file write --{name}=VALUE.")
        else:
            known = next((word for word in re.split(r"\W", name) if word in self._types), "")
            hint = f" In a flag file write --{known}=VALUE." if known else ""
            self.warnings.append(f"{where}'{line}' is ignored: there is no such flag.{hint}")
