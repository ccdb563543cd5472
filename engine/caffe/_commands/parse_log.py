"""parse_log: a training log to two tables, LOG.train and LOG.test (Caffe's tools/extra/parse_log.py).

    parse_log LOGFILE OUTPUT_DIR [--verbose] [--delimiter=,]

A row holds the iteration, seconds since the solver began, the current learning rate and the net's outputs.
The log gives the first row's learning rate too late, so that row has the second row's.
"""

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from caffe._commands import command_line
from caffe._commands.program_help import Program
from caffe._error import CaffeError
from caffe._files.whole_file import write_file

Row = dict[str, float]

_STAMP = re.compile(r"\s*\w(\d\d)(\d\d)\s+(\d\d):(\d\d):(\d\d)\.(\d+)")
_ITERATION = re.compile(r"Iteration (\d+)")
_RATE = re.compile(r"lr = ([-+]?\d*\.?\d+(?:[eE]?[-+]?\d+)?)")
_OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = ([.\deE+-]+)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    program = Program("parse_log", "parse_log LOGFILE OUTPUT_DIR [--verbose] [--delimiter=,]")
    return command_line.run(program, _parse, arguments)


def _parse(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="parse_log", description="Parse a Caffe training log into two CSV files.")
    parser.add_argument("logfile_path", help="path to log file")
    parser.add_argument("output_dir", help="directory in which to place output CSV files")
    parser.add_argument("--verbose", action="store_true", help="print some extra info (e.g., output filenames)")
    parser.add_argument("--delimiter", default=",", help="column delimiter in output files (default: ',')")
    flags = parser.parse_args(arguments)
    if len(flags.delimiter) != 1:
        raise CaffeError(f"--delimiter must be one character, not '{flags.delimiter}'.")
    for phase, rows in parse_log(flags.logfile_path).items():
        target = Path(flags.output_dir) / f"{Path(flags.logfile_path).name}.{phase.lower()}"
        if rows:
            write_file(target, table(rows, flags.delimiter, target))
        if flags.verbose:
            print(f"Wrote {target}" if rows else f"Not writing {target}; no lines to write")


def parse_log(path: str | Path) -> dict[str, list[Row]]:
    """Return the rows of a log, by ``Train`` and ``Test``.

    As in Caffe, all rows of a phase have the first row's outputs. An incomplete last row is left out.

    Raises:
        CaffeError: the file cannot be read, or no solver began in it.
    """
    try:
        text = Path(path).read_text(errors="replace")
        year = datetime.fromtimestamp(Path(path).stat().st_ctime).year
    except OSError as error:
        raise CaffeError(f"Could not open file {path}: {error.strerror}") from None
    lines = iter(text.split("\n"))
    start = next((_time(line, year) for line in lines if "Solving" in line), None)
    if start is None:
        raise CaffeError(f"{path} is not the log of a training run: no solver begins in it.")
    phases = {"Train": _Rows(), "Test": _Rows()}
    iteration, rate = None, float("nan")
    for line, seconds in _timed(lines, start):
        if found := _ITERATION.search(line):
            iteration = float(found[1])
        if iteration is None or seconds is None:
            continue
        if found := _RATE.search(line):
            rate = float(found[1])
        if found := _OUTPUT.search(line):
            begin = {"NumIters": iteration, "Seconds": seconds, "LearningRate": rate}
            phases[found[1]].add(begin, found[2], float(found[3]))
    tables = {phase: rows.complete for phase, rows in phases.items()}
    for rows in tables.values():
        if len(rows) > 1:
            rows[0]["LearningRate"] = rows[1]["LearningRate"]
    return tables


class _Rows:
    """Collects outputs into rows. The first row ends where the second begins, which gives the rows' length."""

    def __init__(self):
        self.complete: list[Row] = []
        self._row: Row | None = None

    def add(self, begin: Row, name: str, value: float) -> None:
        if self._row is None or self._row["NumIters"] != begin["NumIters"]:
            if self._row is not None:
                self.complete.append(self._row)
            self._row = dict(begin)
        self._row[name] = value
        if self.complete and len(self._row) == len(self.complete[0]):
            self.complete.append(self._row)
            self._row = None


def _timed(lines: Iterator[str], start: datetime) -> Iterator[tuple[str, float | None]]:
    """Yield lines with their seconds since the start, or None for lines without a time."""
    year, last = start.year, start
    for line in lines:
        time = _time(line, year)
        if time is not None and time.month < last.month:
            year += 1
            time = _time(line, year)
        if time is not None:
            last = time
        yield line, None if time is None else (time - start).total_seconds()


def _time(line: str, year: int) -> datetime | None:
    found = _STAMP.match(line)
    try:
        return datetime(year, *(int(part) for part in found.groups())) if found else None
    except ValueError:
        return None


def table(rows: list[Row], delimiter: str, where: Path) -> bytes:
    """Rows as CSV with a header."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    try:
        writer.writerows(rows)
    except ValueError as error:
        raise CaffeError(f"{where}: the rows of the log have different outputs ({error}).") from None
    return stream.getvalue().encode()


if __name__ == "__main__":
    sys.exit(main())
