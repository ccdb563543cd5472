"""A command's help: its own flags, those of its log (glog) and those of every program with gflags."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caffe._commands.gflags import GFLAGS, Flag
from caffe._log_flags import HEEDED, LOG_FLAGS

_TYPES = {bool: "bool", int: "int32", str: "string"}


class HelpAsked(Exception):
    """A help flag is on the command line: show something and end the program.

    Attributes:
        flags: the values of all flags.
        rest: the other words.
    """

    def __init__(self, flags: Mapping[str, Any], rest: Sequence[str]):
        super().__init__()
        self.flags, self.rest = flags, rest


@dataclass(frozen=True)
class Program:
    """A command.

    Attributes:
        usage: the call, and below it the purpose.
        flags: the command's own flags.
        commands: subcommands by name; a word on the command line selects one.
    """

    name: str
    usage: str
    flags: Mapping[str, Flag] = field(default_factory=dict)
    commands: Mapping[str, "Program"] = field(default_factory=dict)

    def help_short(self) -> str:
        """The call, and the command's subcommands or its own flags."""
        return f"usage: {self.usage}" if self.commands else self._help([self.name])

    def answer(self, asked: HelpAsked) -> str:
        """The text to print for a help flag."""
        chosen = next((self.commands[word] for word in asked.rest if word in self.commands), self)
        return chosen._answer(asked.flags)

    def _answer(self, flags: Mapping[str, Any]) -> str:
        from caffe import __version__

        if flags["version"]:
            return f"{self.name} version {__version__}"
        if flags["tab_completion_word"]:
            return self._completions(flags["tab_completion_word"], flags["tab_completion_columns"])
        if flags["helpxml"]:
            return self._xml()
        if flags["help"] and self.commands:
            return self.help_short()
        modules = list(self._modules())
        if flags["helpshort"] or flags["helppackage"]:
            modules = [self.name]
        elif flags["helpon"]:
            modules = [module for module in modules if module == flags["helpon"]]
        elif flags["helpmatch"]:
            modules = [module for module in modules if flags["helpmatch"] in module]
        return self._help(modules)

    def _modules(self) -> dict[str, Mapping[str, Flag]]:
        return {self.name: self.flags, "logging": LOG_FLAGS, "gflags": GFLAGS}

    def _help(self, modules: Sequence[str]) -> str:
        lines = [f"usage: {self.usage}"]
        titles = {
            "logging": "\nFlags of the log (glog). The variable GLOG_NAME sets a default:",
            "gflags": "\nFlags of every command (gflags):",
        }
        if not modules:
            lines.append(f"\nNo module matches. The modules are: {', '.join(self._modules())}.")
        for module in modules:
            flags = self._modules()[module]
            lines += [titles[module]] if module in titles else [""] if flags else []
            for name, flag in flags.items():
                lines += _lines(name, flag)
        return "\n".join(lines)

    def _completions(self, word: str, columns: int) -> str:
        word = word.strip("-")
        flags = {name: flag for flags in self._modules().values() for name, flag in flags.items()}
        lines = [f"--{name} [{flag.default!r}] {flag.help}" for name, flag in flags.items() if name.startswith(word)]
        return "\n".join(line if len(line) <= columns else f"{line[: max(columns - 3, 0)]}..." for line in lines)

    def _xml(self) -> str:
        flags = [
            f"<flag><file>{module}</file><name>{name}</name><meaning>{html.escape(flag.help)}</meaning>"
            f"<default>{html.escape(_text(flag.default))}</default><type>{_TYPES[type(flag.default)]}</type></flag>"
            for module, flags in self._modules().items()
            for name, flag in flags.items()
        ]
        head = f"<program>{self.name}</program>\n<usage>{html.escape(self.usage)}</usage>"
        return "\n".join(['<?xml version="1.0"?>', "<AllFlags>", head, *flags, "</AllFlags>"])


def _text(default: bool | int | str) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _lines(name: str, flag: Flag) -> list[str]:
    if name in LOG_FLAGS and name not in HEEDED:
        return [f"  --{name}: {flag.help}"]
    text = flag.help
    if flag.choices and "TRAIN" not in flag.choices:
        text += f" One of {', '.join(flag.choices)}."
    if flag.default not in ("", 0):
        text += f" Default: {_text(flag.default)}."
    return [f"  --{name}" + (f"={flag.value}" if flag.takes_value else ""), f"      {text}"]
