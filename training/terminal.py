"""A terminal with one live line at the bottom; lines that stay go above it."""

import os

DIM, YELLOW, RED, PLAIN = "\033[2m", "\033[33m", "\033[31m", "\033[0m"


def is_terminal(fd: int) -> bool:
    """True if a line can be redrawn: not in a file, a pipe or a dumb terminal."""
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"


class Terminal:
    """Writes to a terminal's file descriptor. A terminal that has gone (its window closed) is no error."""

    def __init__(self, fd: int):
        self._fd = fd
        self._colored = not os.environ.get("NO_COLOR")  # https://no-color.org
        self._drawn = 0  # length of the live line on the screen

    @property
    def columns(self) -> int:
        try:
            return os.get_terminal_size(self._fd).columns or 80
        except OSError:
            return 80

    @property
    def width(self) -> int:
        """The length that the live line may have, so that an echoed ^C does not wrap it."""
        return self.columns - 5

    def say(self, text: str, color: str = "") -> None:
        """Put a line above the live one, where it stays."""
        self._write(self._clear() + (f"{color}{text}{PLAIN}" if color and self._colored else text) + "\n")

    def draw(self, parts: list[tuple[str, str]]) -> None:
        """Draw the live line: dim labels, and values. Text wider than the terminal is cut."""
        text = "  ".join(f"{label} {value}" if label else value for label, value in parts)
        colored = "  ".join(f"{DIM}{label}{PLAIN} {value}" if label else value for label, value in parts)
        self._write(self._clear() + (colored if self._colored and len(text) <= self.width else text[: self.width]))
        self._drawn = min(len(text), self.width)

    def clear(self) -> None:
        """Remove the live line."""
        self._write(self._clear())

    def _clear(self) -> str:
        """The escape codes that erase the live line, with the rows it wrapped to in a narrowed window."""
        rows = max(0, self._drawn - 1) // self.columns
        self._drawn = 0
        return "\r" + (f"\033[{rows}A" if rows else "") + "\033[J"

    def _write(self, text: str) -> None:
        data = memoryview(text.encode(errors="replace"))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            pass


def duration(seconds: float) -> str:
    """0:05, 12:05, 3:12:05 or 2 d 3:12:05."""
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{days} d {text}" if days else text
