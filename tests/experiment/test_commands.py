"""How every command of the experiment ends: with a paragraph, not with a traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__main__")
    for folder in ("data_prep", "models", "solvers", "ensemble", "report", "demo")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


def ended(main: str, **environment) -> subprocess.CompletedProcess:
    """A process whose command is the body of a function."""
    program = f"import commands, sys\ndef main():\n    {main}\ncommands.run(main)"
    variables = {**os.environ, "CAFFE_TRACEBACK": "", **environment}
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize(("body", "status"), [("return None", 0), ("return 3", 3), ("sys.exit(4)", 4)])
def test_a_status(body, status):
    done = ended(body)
    assert (done.returncode, done.stderr) == (status, "")


def test_an_error_that_the_command_says():
    done = ended("return 'score: no such file'")
    assert (done.returncode, done.stderr) == (1, "score: no such file\n")


def test_an_error_that_nobody_foresaw():
    done = ended("raise ValueError('two\\nlines')")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.match(r"error: ValueError: two lines \(\S+:\d+\)\. This is a fault of the program", done.stderr)
    done = ended("raise ValueError('two')", CAFFE_TRACEBACK="1")
    assert done.returncode == 1 and done.stderr.startswith("Traceback")


def test_ctrl_c():
    done = ended("raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "stopped\n")


def test_a_reader_that_has_gone():
    done = ended("print('x' * 100000); sys.stdout.flush(); raise BrokenPipeError")
    assert (done.returncode, done.stderr) == (141, "")


def test_every_command_ends_so():
    assert {"solvers.run", "ensemble.scores", "data_prep.build_lmdb", "models.render", "demo"} <= set(MODULES)
    for module in MODULES:
        path = ROOT / module.replace(".", "/")
        path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert re.search(r'^if __name__ == "__main__":\n    commands\.run\(', path.read_text(), re.M), module
