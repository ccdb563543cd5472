"""No input is ever executed: outside the tests, no file of the project uses pickle, eval or a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in (
        "engine",
        "harness",
        "data_prep",
        "models",
        "training",
        "ensemble",
        "first_pass",
        "report",
        "demo",
        "bench",
    )
    for path in (ROOT / folder).rglob("*.py")
)
MODULES = {"pickle", "cPickle", "_pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "dbm"}
CALLS = {
    "eval", "exec", "os.system", "os.popen", "torch.load", "torch.jit.load", "torch.hub.load", "yaml.load", "yaml.unsafe_load",
    "pandas.read_pickle", "pd.read_pickle", "np.fromfile", "numpy.fromfile", "multiprocessing.connection.Client",
}  # fmt: skip


def forbidden(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {each.name}" for each in node.names if each.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{each.name}" for each in node.names}
            if (node.module or "").partition(".")[0] in MODULES or names & CALLS:
                yield f"from {node.module} import {', '.join(each.name for each in node.names)}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            if name in CALLS or given.get("shell", "False") != "False":
                yield ast.unparse(node)
            elif name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                yield ast.unparse(node)


def test_the_sources_are_found():
    assert len(SOURCES) > 100


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_is_run(path):
    assert list(forbidden(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "import os, joblib.numpy_pickle", "from pickle import loads", "from torch import load",
        "torch.load(path)", "np.load(path)", "numpy.load(path, allow_pickle=True)", "eval(text)",
        "subprocess.run(text, shell=True)", "os.system('rm ' + path)",
    ],
)  # fmt: skip
def test_this_test_sees(line):
    assert list(forbidden(ast.parse(line)))
    assert not list(forbidden(ast.parse("np.load(path, allow_pickle=False); json.load(file); run([a], shell=False)")))
