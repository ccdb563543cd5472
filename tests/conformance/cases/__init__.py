"""The table of layer cases, a file for each file of engine/caffe/_layers, at least one case for every type.

run_cases.py runs them, test_layers.py compares. Dimensions all differ, so that a swapped axis shows. Add a case
by adding a line to the CASES of its file, then `make record` with real Caffe installed.
"""

import importlib
import pkgutil

from ..layer_case import Case

_FILES = [importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
CASES: list[Case] = [case for file in _FILES for case in file.CASES]
BY_NAME = {case.name: case for case in CASES}
assert len(BY_NAME) == len(CASES), "two cases have one name"

# Configurations that our engine refuses with an error naming them (a file's NOT_YET).
# A case that now runs must be removed there.
NOT_YET: set[str] = set().union(*(getattr(file, "NOT_YET", ()) for file in _FILES))
