"""No file of the engine imports, through others or not, a file that imports it."""

import ast
from pathlib import Path

import caffe
import pytest

ENGINE = Path(caffe.__file__).parent

REMAINING = [
    # The solver hands itself to its rate policies and snapshots; they need its progress and named states only.
    ["caffe._snapshot.restore", "caffe._snapshot.write", "caffe._solver.lr_policy", "caffe._solver.solver"],
]
"""Circles that are still there; an entry goes with its circle."""


def imports_of(source: str, files: dict[str, str]) -> set[str]:
    """Names of the modules that a file imports: in functions and for type checking as well.

    Args:
        source: the file's text.
        files: the modules there are, as keys; other imports are ignored.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "The engine imports by whole names."
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in files else node.module)
    return found & files.keys()


def read_engine() -> dict[str, str]:
    """The text of each of the engine's files by the name of its module."""
    files = {}
    for path in sorted(ENGINE.rglob("*.py")):
        parts = path.relative_to(ENGINE.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return files


def circles(files: dict[str, str]) -> list[list[str]]:
    """Groups of modules that import each other, in a circle of any length."""
    imports = {name: imports_of(source, files) for name, source in files.items()}
    reached = {name: _all_from(name, imports) for name in files}
    groups = {
        tuple(sorted(other for other in files if other in reached[name] and name in reached[other])) for name in files
    }
    return sorted(list(group) for group in groups if group)


def _all_from(start: str, imports: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = imports[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def test_the_engine_has_no_other_circle_of_imports():
    assert circles(read_engine()) == REMAINING


@pytest.mark.parametrize(
    "back",
    [
        "import a",
        "from a import x",
        "def f():\n    from a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a",
    ],
)
def test_every_kind_of_import_closes_a_circle(back):
    assert circles({"a": "from c import b", "c": "", "c.b": back}) == [["a", "c.b"]]


def test_a_chain_is_no_circle():
    assert circles({"a": "import b, d", "b": "import d", "d": "import os"}) == []
