"""Refuse what make would silently ignore: a misspelt variable, target or model, and a folder make cannot work in.

    python3 harness/makefile_check.py MAKEFILE MODELS [GOAL ...] [NAME=value ...]

The Makefile runs this before everything else. Its help lines are the table of targets and their variables. The first
word printed is "ok", then come the names of all variables; anything else is the error. Any Python 3 runs it.
"""

import difflib
import os
import re
import shlex
import sys

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PLAIN = r"[\w.+:-]+"
#: Values that the Makefile takes apart into words.
_WORDS = ("MODELS", "VIEW")
_LIKE = 0.7  # METOD and METHOD are 0.91 alike, TINYIMAGENET and TINY_IMAGENET 0.96, stop and setup 0.67
_OWN = ("SHELL", "MAKEFLAGS", "MAKEFILES")  # make's own variables


def table(text):
    """Variables by target, and those of every target, by the Makefile's help lines."""
    takes, every = {}, set()
    for line in text.splitlines():
        found = re.match(r"(?:\$\(MODELS:%=(?P<verb>[\w-]+)-%\)|(?P<name>[a-z][\w-]*)):.* ## (?P<help>.*)", line)
        if found:
            name = found["name"] or found["verb"] + "-MODEL"
            takes[name] = set(re.findall(r"\b([A-Z][A-Z_]*)=", found["help"]))
            for other in re.findall(r"\[as ([\w-]+)\]", found["help"]):
                takes[name] |= takes[other]
        elif "with every target:" in line:
            every |= set(re.findall(r"\b([A-Z][A-Z_]*)=", line))
    return takes, every


def wrong_place(makefile):
    """Why make cannot work where it was started; None where it can."""
    if set(HERE) & set(":\n"):
        return f"the folder {HERE!r} has a colon or a line break in its path, which PYTHONPATH cannot hold: rename it"
    if not re.fullmatch(r"[\w./+-]+", makefile):
        return (
            f"make cannot read {makefile} by that path: go to its folder, cd {shlex.quote(HERE)}, and start make there"
        )
    return None


def wrong_target(goal, goals, takes, models):
    """The error for a goal that is no target; None for one that is."""
    targets = {name.replace("MODEL", model) for name in takes for model in (models if "MODEL" in name else [""])}
    if goal in targets or "/" in goal:
        return None
    verbs = [name[: -len("MODEL")] for name in takes if name.endswith("-MODEL")]
    verb = max((verb for verb in verbs if goal.startswith(verb)), key=len, default="")
    if verb:
        model = goal[len(verb) :]
        if not models:
            return f"make {goal}: no model is here, as solvers/ has no solver"
        near = nearest(model, models)
        known = f"; the nearest is make {verb}{near}" if near else ""
        return f"make {shlex.quote(goal)}: there is no model {model!r}; the models are {', '.join(models)}{known}"
    taken = set().union(*(taken_by(other, takes) for other in goals))
    if re.fullmatch(r"[\d.]+(e-?\d+)?", goal) and "LR" in taken:
        return f"make {goal}: a rate is a variable and no target: write LR={goal}"
    model = next((model for model in models if goal.endswith("-" + model)), None)
    if model:
        verb = nearest(goal[: -len(model)], verbs)
        known = f"the nearest is make {verb}{model}" if verb else f"a model has {', '.join(verbs)}: make train-{model}"
        return f"make {shlex.quote(goal)}: there is no such target; {known}"
    near = nearest(goal, targets)
    known = f"; the nearest is make {near}" if near else ""
    return f"make {shlex.quote(goal)}: there is no such target{known}; make help lists all"


def wrong_variable(name, value, goals, takes, every):
    """The error for a variable of the command line; None for one that its goals take."""
    names = every.union(*takes.values())
    line = " ".join(["make"] + [shlex.quote(goal) for goal in goals])
    taken = every.union(*(taken_by(goal, takes) for goal in goals))
    if name not in names:
        said = f"{name}: there is no such variable; "
        if near := nearest(name.upper(), taken):
            return said + f"the nearest is {near}: {line} {shlex.quote(f'{near}={value}')}"
        if near := nearest(name.upper(), names):
            return said + f"the nearest is {near}, of {takers(near, takes)}"
        said += f"{line} takes {', '.join(sorted(taken))}. "
        return said + f"If it is a variable of the environment, it goes before make: {name}={shlex.quote(value)} {line}"
    if name not in taken:
        return f"{name}: {line} does not take it, but {takers(name, takes)}"
    return None


def takers(name, takes):
    """The targets that take a variable."""
    return ", ".join("make " + target for target in sorted(takes) if name in takes[target])


def taken_by(goal, takes):
    """The variables of a goal's target."""
    fits = [name for name in takes if re.fullmatch(re.escape(name).replace("MODEL", ".+"), goal)]
    return takes[max(fits, key=len)] if fits else set()


def wrong_value(name, value):
    """Why a value cannot go into a recipe; None where it can."""
    if "\n" in value or "\r" in value:
        return f"{name}: a value has no line break"
    if name in _WORDS and not re.fullmatch(f"({_PLAIN}| )*", value):
        return f"{name}: {value!r}: names are letters, digits and . _ + : -, with spaces between them"
    return None


def nearest(word, words):
    """The word that is most like another; None where none is near."""
    likeness = {other: difflib.SequenceMatcher(None, word, other).ratio() for other in sorted(words)}
    near = max(likeness, key=likeness.get, default=None)  # the first of equals
    return near if near and likeness[near] >= _LIKE else None


def check(makefile, found_models, words):
    """Everything that is wrong, one sentence each, and all names of variables."""
    place = wrong_place(makefile)
    if place:
        return [place], []
    with open(os.path.join(HERE, "Makefile"), encoding="utf-8") as file:
        takes, every = table(file.read())
    names = every.union(*takes.values())
    given = [word.partition("=")[::2] for word in words if "=" in word]
    goals = [word for word in words if "=" not in word] or ["help"]
    values = {name: os.environ[name] for name in names if name in os.environ}
    values.update(given)
    models = values.get("MODELS", "").split() or found_models
    wrong = [wrong_variable(name, value, goals, takes, every) for name, value in given if name not in _OWN]
    wrong += [wrong_value(name, value) for name, value in sorted(values.items())]
    wrong += [
        f"solvers: {model!r} is part of no name of a model: rename the solver, with letters, digits and . _ + - alone"
        for model in found_models
        if not re.fullmatch(_PLAIN, model)
    ]
    wrong += [wrong_target(goal, goals, takes, models) for goal in goals]
    return list(filter(None, wrong)), sorted(names)


def main():
    makefile, models, *words = sys.argv[1:]
    wrong, names = check(makefile.strip(), models.split(), words)
    print(". ".join(wrong) if wrong else " ".join(["ok"] + names))


if __name__ == "__main__":
    main()
