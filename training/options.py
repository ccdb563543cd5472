"""The options of a run: their checks, and the command line that takes them again."""

import argparse
import os
import re
import shlex
import sys

from harness import provenance
from harness.errors import UserError

#: The Makefile's defaults for GPU and CAFFE, so that printed `make` commands can omit them.
MAKES_GPU, MAKES_CAFFE = "0", provenance.ROOT / ".venv/bin/caffe"
PRECISION = "CAFFE_PRECISION"  # our engine's variable, and the Makefile's PRECISION
PRECISIONS = ("fp32", "tf32", "bf16")


def own_command(verb: str, options: argparse.Namespace, **changed: str) -> str:
    """The command line that does `verb` with these options, or make's if make runs this process.

    Args:
        changed: options that get another value there.
    """
    options = argparse.Namespace(**{**vars(options), **changed})
    if options.go_on:
        return options.go_on
    rate = [f"LR={options.lr}"] if verb == "lr" else []
    if "MAKELEVEL" in os.environ:
        return shlex.join(["make", f"{verb}-{options.name}", *rate, *_makes_variables(options)])
    python = min(os.path.relpath(sys.executable), sys.executable, key=len)
    if rate:
        words = [python, "-m", "training.set_rate", options.name, f"--lr={options.lr}"]
    else:
        words = [python, "-m", "training.run", verb, options.name]
    if options.caffe and options.caffe != "caffe":
        words += ["--caffe", options.caffe]
    if options.gpu:
        words += ["--gpu", options.gpu]
    if options.keep:
        words += ["--keep", options.keep]
    if options.deterministic:
        words.append("--deterministic")
    return (f"{PRECISION}={shlex.quote(options.precision)} " if options.precision else "") + shlex.join(words)


def _makes_variables(options: argparse.Namespace) -> list[str]:
    """The variables with which make continues this run: each option that differs from make's default."""
    given = {"CAFFE": "" if os.path.realpath(options.caffe) == os.path.realpath(MAKES_CAFFE) else options.caffe}
    given["PRECISION"] = options.precision
    given["DETERMINISTIC"] = "1" if options.deterministic else ""
    given["KEEP"] = options.keep
    gpu = [] if options.gpu == MAKES_GPU else [f"GPU={options.gpu}"]  # an empty GPU is the CPU, and must be given
    return gpu + [f"{name}={value}" for name, value in given.items() if value]


def check(verb: str, options: argparse.Namespace) -> None:
    """Raise UserError for an option that Caffe would refuse, with a command that works."""
    for is_right, changed in (
        (check_precision, {"precision": ""}),
        (lambda: check_gpu(options.gpu), {"gpu": MAKES_GPU}),
        (lambda: check_keep(options.keep), {"keep": ""}),
    ):
        try:
            is_right()
        except UserError as error:
            raise UserError(f"{error}; run: {own_command(verb, options, **changed)}") from error


def check_precision() -> None:
    """Raise UserError if the environment names a precision that our engine does not have."""
    given = os.environ.get(PRECISION)
    if given and given not in PRECISIONS:
        known = f"{', '.join(PRECISIONS[:-1])} and {PRECISIONS[-1]}"
        raise UserError(f"{_as_given('PRECISION', f'{PRECISION}=', given)}: no such precision; there are {known}")


def check_gpu(given: str) -> None:
    """Raise UserError unless a text names GPUs as caffe's own --gpu does, or none."""
    numbers = given.split(",")
    are_numbers = all(map(str.isdecimal, numbers)) and len(set(map(int, numbers))) == len(numbers)
    if given not in ("", "all") and not are_numbers:
        raise UserError(
            f"{_as_given('GPU', '--gpu ', given)}: give numbers of GPUs, each once, such as 0 or 0,1; or all; "
            "or nothing for the CPU"
        )


def check_keep(given: str) -> None:
    """Raise UserError unless a text is a number of snapshots, or empty."""
    if given and (not given.isdecimal() or int(given) < 1):
        raise UserError(f"{_as_given('KEEP', '--keep ', given)}: not a number of snapshots, 1 or more")


def blamed(reason: str, options: argparse.Namespace) -> dict[str, str]:
    """The options that Caffe's last words blame, each with a value that Caffe can run with."""
    if options.gpu and "CPU-only" in reason:  # a real Caffe that was built without CUDA
        return {"gpu": ""}
    if options.gpu and re.search(r"--gpu |GPU \d+ does not exist|invalid device ordinal|cudaSetDevice", reason):
        return {"gpu": "" if options.gpu == MAKES_GPU else MAKES_GPU}
    return {}


def _as_given(makes: str, flag: str, value: str) -> str:
    """An option as the user gave it: to make, or to the command itself."""
    return f"{makes}={value}" if "MAKELEVEL" in os.environ else f"{flag}{value}"
