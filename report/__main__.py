"""Write the report's page.

    python -m report [--runs runs] [--data data/lmdb] [--out runs/report.html]          (make report)

The page is one HTML file that needs no script, font or picture from elsewhere. It lies beside its runs, where git
ignores it. It holds images of Tiny ImageNet, which must not be passed on.
"""

import argparse
import sys
from pathlib import Path

from harness import commands
from harness.errors import UserError
from harness.files import whole_file
from report.experiment import open_experiment

NEEDED = {"matplotlib": "the plots", "jinja2": "the page"}


def _run(options: argparse.Namespace) -> Path:
    experiment = open_experiment(options.runs, options.data)
    if not (experiment.models or experiment.untrained or experiment.scored or experiment.problems):
        raise UserError(
            f"{Path.cwd()}: nothing to report: no solvers/*.prototxt and no {options.runs}/<model>/train.log here; "
            "start in the repository, or in a folder like demo/out"
        )
    try:
        from report.page import page
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise UserError(f"{error.name} is missing, {NEEDED[error.name]} need it; make setup installs it") from error
    text = page(experiment)
    for problem in experiment.problems:
        print(f"report: left out: {problem}", file=sys.stderr)
    out = options.out or options.runs / "report.html"
    with whole_file(out) as file:
        file.write(text)
    return out


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m report", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: report.html in the runs folder")
    options = parser.parse_args(arguments)
    try:
        out = _run(options)
    except (UserError, OSError) as error:
        return f"report: {error}"
    print(f"-> {out}, {out.stat().st_size / 1e6:.1f} MB")
    return None


if __name__ == "__main__":
    commands.run(main)
