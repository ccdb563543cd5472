"""README's commands, line by line in its order, on a tiny set and tiny nets; long ones as make -n."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import caffe
import pytest
from caffe._commands import flags

from tests.data_prep.small_tiny_imagenet import files, write_zip
from tests.test_readme import blocks

ROOT = Path(__file__).parents[1]
# Commands that others here replace, that take hours, or that have their own tests.
LONG = {"demo", "test", "report", "explore", "reproduce", "reproduce-status", "board", "reference-caffe", "conformance",
        "conformance-gpu"}  # fmt: skip
LINES = [line.partition("#")[0].strip() for line in blocks("sh").splitlines() if line.strip()]
SNAPSHOTS = 2  # iterations between them
PICTURE = "net.png" if shutil.which("dot") else "net.dot"  # as README says: net.dot needs no graphviz


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a set of 600 train images, and the demo's small nin1: batches of 5, 4 iterations."""
    folder = tmp_path_factory.mktemp("readme")
    write_zip(folder / "tiny.zip", files())
    table = (ROOT / "demo/variants.toml").read_text().replace("batch_size = 50", "batch_size = 5")
    (folder / "small.toml").write_text(re.sub(r"^\[alexnet.*", "", table, flags=re.M | re.S))
    options = ["--variants", str(folder / "small.toml"), "--out", str(folder / "models")]
    run([sys.executable, "-m", "models.render", *options], ROOT)
    solver = (ROOT / "demo/solvers/nin1.prototxt").read_text()
    for field, value in {
        "max_iter": 4,
        "test_iter": 2,
        "test_interval": 4,
        "snapshot": SNAPSHOTS,
        "display": 1,
    }.items():
        solver = re.sub(rf"^{field}: \d+", f"{field}: {value}", solver, flags=re.M)
    (folder / "solvers").mkdir()
    (folder / "solvers/nin1.prototxt").write_text(solver)
    return folder


def run(command: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "GLOG"))}
    paths = os.pathsep.join([str(ROOT / "engine"), str(ROOT)])
    environment |= {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TINY_IMAGENET": str(folder / "tiny.zip")}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}"
    return done.stdout


def made_to_run(line: str, folder: Path) -> list[str]:
    """The command of a line of README, with this Python and on this folder's files."""
    newest = max((int(path.stem.rpartition("_")[2]) for path in folder.glob("runs/nin1/*.caffemodel")), default=0)
    line = line.replace("nin1_iter_2000", f"nin1_iter_{newest}").replace("--iterations=100", "--iterations=2")
    line = line.replace("net.png", PICTURE)
    program = f"{shlex.quote(sys.executable)} -m caffe"
    if line.startswith("source "):
        return ["bash", "-c", line.replace(".venv/bin/caffe", program)]
    first, *rest = shlex.split(line)
    if first == ".venv/bin/caffe":
        return [*shlex.split(program), *rest]
    assert first == "make", f"what is {line!r}?"
    door = [f"PYTHON={sys.executable}", f"CAFFE={Path(sys.executable).with_name('caffe')}", "GPU="]
    dry = ["-n"] if rest[0] in LONG else []
    return ["make", "-f", str(ROOT / "Makefile"), "-o", "setup", *dry, *rest, *door]


def go_on(solver: Path) -> None:
    """Raise max_iter, so that there is something to resume."""
    text = solver.read_text()
    solver.write_text(re.sub(r"(?<=max_iter: )\d+", lambda found: str(int(found[0]) + SNAPSHOTS), text))


def test_every_line_runs(place):
    said = {}
    for line in LINES:
        if re.match(r"make (lr|resume)-", line):
            go_on(place / "solvers/nin1.prototxt")
        said[line] = run(made_to_run(line, place), place)
    assert "600 train" in said["make lmdb"] and "accuracy" in said["make ensemble"]
    assert "base_lr: 0.005 -> 0.001 from iteration 4" in said["make journal-nin1"]
    assert "the newest snapshot is runs/nin1/nin1_iter_8.solverstate" in said["make resume-nin1"]
    assert re.search(r"^nin1 +finished +4/4 ", said["make status"], re.M)
    for path in ("runs/ensemble/submission.txt", PICTURE):
        assert (place / path).is_file()
    python_runs(place)


def python_runs(place: Path) -> None:
    """README's Python, in that folder."""
    program = blocks("python").replace("nin1_iter_2000", "nin1_iter_4")
    program = program.replace("(100, 3, 48, 48)", "(5, 3, 24, 24)")
    shapes = re.findall(r"# (\(.*?\))", program)
    begin = f"import numpy\nimages = numpy.ones({shapes[0]}, 'float32')\n"
    out = run([sys.executable, "-c", f"{begin}{program}\nprint(scores.shape)"], place)
    assert out.splitlines()[-1] == shapes[1].replace("100", "5") == "(5, 200, 1, 1)"


def test_every_caffe_command_of_readme_is_one():
    commands = re.findall(r"`?\.venv/bin/(caffe [a-z][^`#\n]*)", "\n".join(LINES))
    assert len(commands) > 4
    for command in commands:
        assert flags.parse(shlex.split(command)[1:]).command in flags.COMMANDS
    assert caffe.__version__
