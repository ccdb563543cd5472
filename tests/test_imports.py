"""Check that no file of the experiment or the engine imports itself through others, type checks and functions included."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "bench", "data_prep", "demo", "ensemble", "first_pass", "harness", "models", "report", "reproduce", "training"
)  # fmt: skip


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(root: Path) -> dict[str, Path]:
    """The Python files of the rooms and the engine, by module name."""
    found = {module_name(path, root): path for room in ROOMS for path in sorted((root / room).rglob("*.py"))}
    engine = root / "engine"
    return found | {module_name(path, engine): path for path in sorted((engine / "caffe").rglob("*.py"))}


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules in `known` that a file imports anywhere: at its top, in a function or for a type checker."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # Each further dot of a relative import climbs one package.
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            members = {f"{base}.{alias.name}" for alias in node.names}
            found |= members & known.keys()
            # A name that is no module of its own comes from the package's file.
            found |= {base} if members - known.keys() else set()
    return found & known.keys()


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The first circle found, its first module repeated at the end; [] if there is none."""
    whole: set[str] = set()

    def search(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in whole:
            return []
        for other in sorted(graph[name]):
            if found := search(other, [*trail, name]):
                return found
        whole.add(name)
        return []

    return next((found for name in sorted(graph) if (found := search(name, []))), [])


def graph(root: Path) -> dict[str, set[str]]:
    known = files(root)
    return {name: imports(name, path, known) for name, path in known.items()}


def test_no_file_imports_itself_through_others():
    found = graph(ROOT)
    assert {name.partition(".")[0] for name in found} == {*ROOMS, "caffe"}
    assert sum(map(len, found.values())) > 300, "the imports are read"
    assert not circle(found), " -> ".join(circle(found))


@pytest.mark.parametrize(
    "line",
    [
        "from harness.b import thing",
        "import harness.b",
        "from harness import b",
        "from . import b",
        "from .b import thing",
        "def late():\n    from harness.b import thing",
        "if TYPE_CHECKING:\n    from harness.b import Thing",
    ],
)
def test_every_way_to_import_closes_a_circle(tmp_path, line):
    room = tmp_path / "harness"
    room.mkdir()
    (room / "__init__.py").write_text("")
    (room / "a.py").write_text(line)
    (room / "b.py").write_text("from harness import c")
    (room / "c.py").write_text("import json\nfrom harness.a import one")
    assert circle(graph(tmp_path)) == ["harness.a", "harness.b", "harness.c", "harness.a"]
    (room / "c.py").write_text("import json")
    assert circle(graph(tmp_path)) == []


def test_a_name_of_a_package_comes_from_its_init_file(tmp_path):
    room = tmp_path / "report"
    room.mkdir()
    (room / "__init__.py").write_text("from report.a import one")
    (room / "a.py").write_text("from report import Missing")
    assert circle(graph(tmp_path)) == ["report", "report.a", "report"]
    (room / "a.py").write_text("from . import Missing")
    assert circle(graph(tmp_path)) == ["report", "report.a", "report"]
