"""Flags as gflags defines them, and the values of their text."""

import re
from dataclasses import dataclass

TRUE, FALSE = ("1", "t", "true", "y", "yes"), ("0", "f", "false", "n", "no")
_INT32 = re.compile(r"\s*([-+]?)(?:0[xX]([0-9a-fA-F]+)|([0-9]+))")


@dataclass(frozen=True)
class Flag:
    """A flag: its default, which gives its type, its purpose, and the commands that use it."""

    default: bool | int | str
    help: str
    commands: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    value: str = ""  # the value's name in the help

    @property
    def takes_value(self) -> bool:
        return not isinstance(self.default, bool)


def value_of(name: str, text: str, kind: type) -> bool | int | str:
    """Return the value of a flag's text.

    Raises:
        ValueError: the text is no value of this type.
    """
    if kind is bool:
        if text.lower() not in TRUE + FALSE:
            raise ValueError(f"illegal value '{text}' specified for bool flag '{name}'; give true or false")
        return text.lower() in TRUE
    if kind is str:
        return text
    found = _INT32.fullmatch(text)
    number = int(found[1] + (found[2] or found[3]), 16 if found[2] else 10) if found else 1 << 31
    if not -(1 << 31) <= number < 1 << 31:
        raise ValueError(f"illegal value '{text}' specified for int32 flag '{name}'; give a whole number of 32 bits")
    return number


# Every program with gflags has these flags. The help flags print something and end the program.
GFLAGS = {
    "flagfile": Flag("", "Read flags from files, one --NAME=VALUE a line, separated by ','.", value="FILES"),
    "fromenv": Flag("", "Read these flags, separated by ',', from the variables FLAGS_NAME.", value="NAMES"),
    "tryfromenv": Flag("", "The same for those of the variables that are set.", value="NAMES"),
    "undefok": Flag("", "Ignore these flags, separated by ',', if the program does not have them.", value="NAMES"),
    "tab_completion_word": Flag("", "List the flags that begin with a word.", value="WORD"),
    "tab_completion_columns": Flag(80, "Width of that list.", value="N"),
    "help": Flag(False, "Show this help."),
    "helpfull": Flag(False, "Show all flags."),
    "helpshort": Flag(False, "Show the program's own flags alone."),
    "helppackage": Flag(False, "The same as --helpshort."),
    "helpon": Flag("", "Show the flags of one module, such as logging.", value="MODULE"),
    "helpmatch": Flag("", "Show the flags of the modules whose name contains a text.", value="TEXT"),
    "helpxml": Flag(False, "Show all flags as XML."),
    "version": Flag(False, "Show the version."),
}
HELP_FLAGS = ("tab_completion_word", *(name for name in GFLAGS if name.startswith("help")), "version")
