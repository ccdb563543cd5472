"""README's table of the report's numbers beside ours, from paper.toml and results/measured.json.

python -m report.table README.md        (make report-table)
"""

import re
import sys
from pathlib import Path

from harness import commands
from harness.duration import duration
from harness.errors import UserError
from harness.files import whole_file
from report import chance, paper, save_results

BEGIN, END = "<!-- report: made by make report-table -->", "<!-- /report -->"


def table(measured: dict[str, save_results.SavedNumber]) -> str:
    """The Markdown of the numbers that README shows; a number that was not measured is marked so."""
    rows = [("", "section", "the report", "ours"), ("---",) * 4]
    for number in paper.numbers():
        if number.readme:
            rows.append((number.what, number.section, number.value, _ours(number, measured.get(number.name))))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _ours(number: paper.Number, ours: save_results.SavedNumber | None) -> str:
    closed = "the judge is closed; in its place " if number.judge else ""
    if ours is None:
        return closed + (f"{number.stand_in.partition(':')[0]}: " if closed else "") + "not yet measured"
    beside = chance.beside(number, ours.value, ours.note, ours.images)
    about = [part for part in (ours.note, beside, _where(ours)) if part]
    return f"{closed}{ours.value} ({'; '.join(about)})" if about else closed + ours.value


def _where(number: save_results.SavedNumber) -> str:
    took = duration(number.hours * 3600) if number.hours else ""
    if took and number.command.startswith("make train"):
        # The number may come from an earlier epoch, but the time is the whole training's.
        took = f"of {number.epochs:g} epochs, {took}" if number.epochs else f"{took} of training"
    took += f" in {number.precision}" if number.precision and took else ""
    return " on ".join(part for part in (took, number.machine) if part)


def with_table(readme: str, measured: dict[str, save_results.SavedNumber]) -> str:
    """README's text with the table between its two marks; UserError if a mark is missing."""
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(readme):
        raise UserError(f"README has no lines {BEGIN} and {END} for the table to stand between")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{table(measured)}\n\n{END}", readme)


def main(arguments: list[str]) -> str | None:
    """Write the table into the file named; what it returns is the error to print, None if all went well."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        return "usage: python -m report.table README.md"
    path = Path(arguments[0])
    try:
        text = with_table(path.read_text(encoding="utf-8"), save_results.read(path.parent / save_results.FILE))
        with whole_file(path) as file:
            file.write(text)
    except (UserError, OSError, UnicodeDecodeError) as error:
        return f"report.table: {error}"
    return None


if __name__ == "__main__":
    commands.run(lambda: main(sys.argv[1:]))
