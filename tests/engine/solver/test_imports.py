"""No circle of imports passes through the solver's, the snapshots' or the workers' rooms, type checking included."""

import ast
from pathlib import Path

import caffe

ROOT = Path(caffe.__file__).parents[1]
ROOMS = ("caffe._solver.", "caffe._snapshot.", "caffe._workers.")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "caffe").rglob("*.py")
}


def imports_of(module: str) -> set[str]:
    """The engine's modules that a file imports, in functions and under TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= submodules or {str(node.module)}
    return found & FILES.keys()


IMPORTS = {module: imports_of(module) for module in FILES}


def reached_from(module: str) -> set[str]:
    reached, waiting = set(), [module]
    while waiting:
        new = IMPORTS[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def test_imports_are_found():
    assert {"caffe._solver.progress", "caffe._solver.lr_policy"} <= IMPORTS["caffe._solver.solver"]
    assert "caffe._solver.progress" in IMPORTS["caffe._snapshot.states"], "under TYPE_CHECKING"
    assert "caffe._solver" in IMPORTS["caffe.__main__"], "in a function"


def test_no_circle():
    assert [module for module in FILES if module.startswith(ROOMS) and module in reached_from(module)] == []


def test_snapshots_rates_and_workers_know_no_solver():
    rooms = [module for module in FILES if module.startswith(("caffe._snapshot.", "caffe._workers."))]
    for module in (*rooms, "caffe._solver.lr_policy", "caffe._solver.progress"):
        assert "caffe._solver.solver" not in reached_from(module), module
