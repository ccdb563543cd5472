"""Every method of ensembling on the same models, with intervals and tests.

    python -m ensemble.methods nin1 nin2 alexnet1        (make methods)

reads runs/<name>/scores/val.npz, and holdout.npz if every model has one. It writes methods.csv, methods.md and
methods.json in runs/ensemble/. `make submission METHOD=stacking` follows one of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from ensemble import balance, comparison_file, comparison_words
from ensemble.combine import folder, held_out, load_labelled
from ensemble.comparison import compare
from ensemble.crossfit import FOLDS
from ensemble.scoring import views
from ensemble.scoring.score_data import DATA
from harness import commands
from harness.errors import UserError

NEEDED = {"scipy": "the temperatures", "sklearn": "stacking"}


def _run(options: argparse.Namespace) -> None:
    from harness import provenance  # not used by the scripts that run on real pycaffe

    models = options.models
    if len(set(models)) != len(models):
        raise UserError(f"{' '.join(models)}: a model is named twice")
    if len(models) < 2:
        raise UserError(f"{models[0]} alone: an ensemble needs two models or more; `make scores-MODEL` makes scores")
    begun = time.perf_counter()
    view = views.named(options.view)
    val = load_labelled(options.runs, models, "val", view, options.data)
    holdout = held_out(options.runs, models, val, options.data)

    def say(name: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{name} ...", end="", file=sys.stderr, flush=True)

    found = compare(models, val, holdout, options.folds, options.seed, say)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    about = {"command": f"python -m ensemble.methods {' '.join(models)} --folds {options.folds} --seed {options.seed}"
             + ("" if view == views.CENTER else f" --view {view}"),
             "commit": provenance.commit(), "machine": provenance.machine(),
             "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
             "seconds": round(time.perf_counter() - begun, 1),
             "records": {file[0].split: file[0].data for file in (val, holdout) if file}}  # fmt: skip
    out = options.out or folder(options.runs, view)
    comparison_file.write(out, found, about)
    print(comparison_words.about(found), end="\n\n")
    print(comparison_words.terminal(comparison_words.methods_rows(found)), end="\n\n")
    print("\n".join(comparison_words.sentences(found)), end="\n\n")
    print(f"Labels balanced over the classes of val ({balance.MARK}; off unless BALANCE=1 asks for it):")
    print(comparison_words.terminal(comparison_words.balance_rows(found)))
    print(f"-> {out}/methods.md, methods.csv, methods.json")


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m ensemble.methods", description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", help="names of two models or more that have val scores")
    parser.add_argument("--folds", type=int, default=FOLDS, help="of cross-fitting (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of folds and resamples (default: %(default)s)")
    parser.add_argument("--view", default=views.CENTER, help=f"of the scores (default: center): {views.KNOWN}")
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: ensemble in the runs folder")
    options = parser.parse_args(arguments)
    try:
        if options.seed < 0:
            raise UserError(f"--seed {options.seed}: a seed is 0 or more")
        _run(options)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in NEEDED:
            raise
        return f"ensemble.methods: {name} is missing, {NEEDED[name]} need it; `make setup` installs it"
    except (UserError, OSError) as error:
        return f"ensemble.methods: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
