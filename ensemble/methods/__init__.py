"""Ways to merge the models' scores, one a file.

A method is a module with `fit(scores, labels)`. `scores` are the models' class scores of labelled images:
M arrays (N, C), rows of shares that sum to 1. `labels` are int (N,). `fit` returns a function of M arrays (N', C) of
other images. The function gives the merged scores (N', C), none negative, in proportion to how likely the classes
are. Its `str()` names the fitted values in a line. A method need not know folds, splits or files.
The caller ensemble/crossfit.py separates the images of the fit from those that are scored.

To add a method, put a file here and its name in METHODS.
"""

from __future__ import annotations

from ensemble.methods import average, confusion, dawid_skene, greedy, report_rule, stacking, temperature

#: The methods by their names in commands; the first line of a module's docstring is shown to users.
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
    """The description of a method, in a line."""
    return METHODS[name].__doc__.partition("\n")[0].rstrip(".")
