"""Train each model at each rate for a few epochs, show the results, and choose the try to continue.

    python -m first_pass.explore --epochs 3 [--models "alexnet1 nin1"] [--rates "0.01 0.003 0.001"]
                      [--dropouts "0.5 0.4"] [--gpu 0,1] [--jobs 2] [--caffe CAFFE]      (make explore EPOCHS=3)

Ctrl-C stops every try with a snapshot. Run the same command again to continue. See first_pass/choice.py
for the choice.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from first_pass import choice, outcome
from first_pass.devices import devices, threads
from first_pass.outcome import Exploration, Outcome
from first_pass.runner import STOPPED, Runner
from first_pass.tries import FOLDER, parse_rates, plan, prepare
from harness import commands
from harness.duration import duration
from harness.errors import UserError
from report.full_runs import TRAIN_IMAGES
from training.options import check_precision
from training.run import locked
from training.status import table

HEAD = ("model", "rate", "epochs", "train loss", "val accuracy", "95 %", "still learns", "time")


def say(line: str) -> None:
    print(f"explore: {line}", file=sys.stderr, flush=True)


def command_of(options: argparse.Namespace) -> str:
    """The command that runs the same exploration."""
    words = [f"make explore EPOCHS={options.epochs}"]
    words += [f'{name}="{value}"' for name, value in (("MODELS", options.models), ("RATES", options.rates),
                                                       ("DROPOUTS", options.dropouts)) if value]  # fmt: skip
    precision = os.environ.get("CAFFE_PRECISION")
    return " ".join([*words, *([f"PRECISION={precision}"] if precision else [])])


def _run(options: argparse.Namespace) -> int:
    if not options.epochs.isdecimal() or not 1 <= int(options.epochs) <= 10_000:
        raise UserError(f'EPOCHS="{options.epochs}": wants a whole number of epochs from 1 on, as EPOCHS=3')
    if not (options.jobs or "1").isdecimal() or int(options.jobs or 1) < 1:
        raise UserError(f'JOBS="{options.jobs}": wants how many are trained at once on a device, 1 or more')
    rates = parse_rates(options.rates, "RATES", 1e-9, 1e3)
    dropouts = parse_rates(options.dropouts, "DROPOUTS", 0, 0.999) if options.dropouts else [None]
    models = list(dict.fromkeys(options.models.replace(",", " ").split()))
    if not models:
        raise UserError('MODELS="": names no model; as MODELS="alexnet1 nin1"')
    check_precision()
    places = devices(options.gpu, int(options.jobs or 1))
    caffe = shutil.which(options.caffe)
    if caffe is None:
        raise UserError(f"{options.caffe}: no such command; make setup installs it, CAFFE= names another")
    caffe = os.path.abspath(caffe)  # the tries are trained in another folder
    planned = plan(models, rates, dropouts, int(options.epochs))
    tries = [each.one for each in planned]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked(FOLDER):
        prepare(planned)
        os.chdir(FOLDER)
        status = Runner(tries, places, caffe, threads(places), say).run()
        if status == STOPPED:
            say("stopped; the same command goes on")
            return status
        if status:
            say("not all tries have come to their end; what is wrong put right, the same command goes on")
            return status
        found = outcome.exploration(tries, command_of(options))
        outcome.write(Path(outcome.NAME), found)
        show(found)
    return 0


def show(found: Exploration) -> None:
    """Print the table and the choice."""
    print(table([HEAD, *map(_cells, found.outcomes)]))
    print()
    for one in found.outcomes:
        print(f"{one}: the loss {one.trend}")
    print()
    best = choice.best_of_each_model(found.outcomes)
    for model, one in best.items():
        print(f"{model}: rate {one.rate:g}")
    chosen, reason = choice.choose(found.outcomes)
    print(f"Continue with {chosen}: {reason}.")
    if found.train_images < TRAIN_IMAGES:
        print(f"Of {found.train_images:,} train images, a part of Tiny ImageNet: no number of the report's.")
    print(f"-> {FOLDER / outcome.NAME}; the page: make report")


def _cells(one: Outcome) -> tuple[str, ...]:
    least, most = one.interval
    dropout = "" if one.dropout is None else f" dropout {one.dropout:g}"
    return (
        one.model,
        f"{one.rate:g}{dropout}",
        str(one.epochs),
        f"{one.loss:.3f}",
        f"{one.accuracy:.4f}",
        f"{least:.4f} to {most:.4f}",
        "yes" if one.learns else "no",
        duration(one.seconds),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m first_pass.explore", description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", default="3", help="of each try (default: %(default)s)")
    parser.add_argument("--models", default="alexnet1 nin1", help="default: %(default)s")
    parser.add_argument("--rates", default="0.01 0.003 0.001", help="default: %(default)s")
    parser.add_argument("--dropouts", default="", help="dropout ratios to try; default: the nets' own")
    parser.add_argument("--gpu", default="", help="0, or 0,1, or all: a try on each; default: the CPU")
    parser.add_argument("--jobs", default="", help="tries at once on a device (default: 1)")
    parser.add_argument("--caffe", default=os.environ.get("CAFFE") or "caffe", help="the caffe command")
    options = parser.parse_args(arguments)
    here = Path.cwd()
    try:
        return _run(options)
    except (UserError, OSError) as error:
        say(f"error: {error}")
        return 1
    finally:
        os.chdir(here)


if __name__ == "__main__":
    commands.run(main)
