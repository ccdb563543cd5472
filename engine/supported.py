"""Writes README's table of the engine's supported features, from the engine's own registries.

python engine/supported.py README.md        (make supported; a test checks that both agree)
"""

import sys
from collections import defaultdict
from pathlib import Path

import caffe._layers
import caffe._solver  # noqa: F401  (registers the solver types)
from caffe._filler import FILLERS
from caffe._layers.base import LAYERS
from caffe._solver.lr_policy import POLICIES
from caffe._solver.registry import SOLVERS

BEGIN, END = "<!-- supported: made by make supported -->", "<!-- /supported -->"


def table() -> str:
    """Layer types by file, solver types, rate policies and fillers, as Markdown."""
    files = defaultdict(list)
    for name in LAYERS:
        files[LAYERS.find(name).__module__.rpartition(".")[2]].append(name)
    rows = [
        ("file", f"layer types ({len(list(LAYERS))})"),
        ("---", "---"),
        *((f"`{file}.py`", ", ".join(files[file])) for file in sorted(files)),
    ]
    layers = "\n".join(f"| {left} | {right} |" for left, right in rows)
    return f"""{layers}

- **Solvers:** {", ".join(SOLVERS)}
- **`lr_policy`:** {", ".join(POLICIES)}
- **Fillers:** {", ".join(FILLERS)}"""


def with_table(readme: str) -> str:
    """README's text with a new table between its two marks."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
