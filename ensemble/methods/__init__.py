"""Ways to merge the models' scores, one a file.

A method is a module with `fit(scores, labels)`. `scores` are the models' class scores of images whose labels are
known: M arrays (N, C), rows of shares that sum to 1; `labels` are int (N,). What it returns is called with M arrays
(N', C) of other images and gives the merged scores (N', C), none negative, in proportion to how likely the classes
are; its `str()` says in a line what was fitted. A method need not know of folds, splits or files:
ensemble/crossfit.py keeps what it is scored on from what it is fitted on.

To add one: a file here, and its name in METHODS.
"""

from __future__ import annotations

from ensemble.methods import average, confusion, dawid_skene, greedy, report_rule, stacking, temperature

#: By the name that commands know; the first line of a module's docstring says what it does.
METHODS = {
    "report": report_rule,
    "average": average,
    "temperature": temperature,
    "greedy": greedy,
    "confusion": confusion,
    "dawid-skene": dawid_skene,
    "stacking": stacking,
}


def told(name: str) -> str:
    """What a method does, in a line."""
    return METHODS[name].__doc__.partition("\n")[0].rstrip(".")
