"""The faults to try, each with its cases, as rows of the table that `make torture` prints."""

import os
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass


class Lost(Exception):
    """Something is lost: a snapshot is not whole, the last weights differ, or a failure has no message."""


class NotHere(Exception):
    """This machine cannot try it; the message says why."""


@dataclass(frozen=True)
class Case:
    """A case: some faults, one after the other.

    Attributes:
        name: the label of the case within its row.
        run: tries it in the working folder, which is empty. It raises Lost, or NotHere before anything was tried.
            It may return how many faults it has tried.
        faults: the number of faults it tries, if run does not return it.
    """

    name: str
    run: Callable[[], int | None]
    faults: int = 1


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    name: str
    cases: list[Case]


def expect(condition: object, otherwise: str) -> None:
    """Raise Lost with the message `otherwise` if the condition does not hold."""
    if not condition:
        raise Lost(otherwise)


def attempt(case: Case, folder: str) -> tuple[str, int, str]:
    """Try a case in a folder of its own: ("survived" | "lost" | "not here", how many faults, why)."""
    os.makedirs(folder)
    os.chdir(folder)
    try:
        tried = case.run()
    except NotHere as reason:
        return "not here", 0, str(reason)
    except Lost as loss:
        return "lost", case.faults, str(loss)
    except Exception:  # a fault of the torture is no survival
        return "lost", case.faults, traceback.format_exc(limit=-4)
    finally:
        os.chdir("/")
    shutil.rmtree(folder, ignore_errors=True)
    return "survived", tried or case.faults, ""
