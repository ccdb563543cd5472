"""README is true: its commands, files, screen texts and errors exist, and its tables equal the registries."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.training.test_live_line import Screen
from training.curves import Curves
from training.live_line import LiveLine
from training.solver_file import parse_solver, read
from training.training_set import TrainingSet

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> str:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
    return "\n".join(block for of, block in found if of == language)


def test_every_make_target_of_readme_exists():
    targets = set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", README, re.M))
    mine = {target for target in targets if target.endswith("-mine")}  # targets for the reader's own solver
    assert {"demo", "train-nin1", "status", "board"} <= targets and mine
    solvers = [path.stem for path in (ROOT / "solvers").glob("*.prototxt")]
    models = [f"MODELS={' '.join([*solvers, 'mine'])}", "BVLC=x"]
    done = subprocess.run(["make", "-n", *sorted(targets), *models], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_two_commands_come_first():
    assert re.findall(r"^make (\w+)", blocks("sh"), re.M)[:2] == ["demo", "test"]


def test_every_folder_and_file_of_readme_exists():
    named = {path.rstrip("/") for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", README)}
    made = ("runs", "data", "tests/reference/root", "reproduction", "rehearsal-")  # by running the commands
    of_the_reader = ("solvers/mine", "models/mine")
    missing = [path for path in named if not path.startswith(made + of_the_reader) and not (ROOT / path).exists()]
    assert named and not missing


def test_the_screen_shows_what_readme_shows():
    *above, line = blocks("").strip().splitlines()[-4:]
    now = [0.0]
    screen, curves = Screen(150), Curves(2026)
    path = ROOT / "solvers/alexnet1.prototxt"
    live = LiveLine(
        screen, "alexnet1", parse_solver(read(path), path).max_iter, TrainingSet(100, 100_000), lambda: now[0]
    )

    def say(message: str) -> None:
        text = f"I1123 19:30:00.000000  1506 solver.cpp:1] {message}"
        live.line(text, curves.add(text), curves)

    def test(iteration: int, accuracy: float, top5: float, loss: float) -> None:
        say(f"Iteration {iteration}, Testing net (#0)")
        for number, output in enumerate((f"accuracy = {accuracy}", f"accuracy_top5 = {top5}", f"loss = {loss}")):
            say(f"    Test net output #{number}: {output}")

    say("Solving alexnet1")
    for iteration, loss in ((1980, 4.703), (2980, 4.457), (3060, 4.405)):
        now[0] = iteration / 3.2922
        say(f"Iteration {iteration} (3.43882 iter/s, 5.8s/20 iters), loss = {loss}")
        say(f"Iteration {iteration}, lr = 0.01")
        if iteration == 1980:
            test(1000, 0.0175, 0.0762, 5.014)
            test(2000, 0.0397, 0.1596, 4.662)
            say("Snapshotting solver state to binary proto file runs/alexnet1/alexnet1_iter_2000.solverstate")
        elif iteration == 2980:
            test(3000, 0.0812, 0.2494, 4.369)
    live.tick(curves)
    assert screen.said[1:] == above and screen.drawn == line


def test_the_errors_of_readme_are_said_somewhere():
    section = README.partition("## When something goes wrong")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", section, re.M)
    words = [word for row in rows for word in re.findall(r"`([^`]+)`", row)]
    assert len(words) > 10
    ours = (
        path for folder in sorted(ROOT.iterdir()) if (folder / "__init__.py").is_file() for path in folder.rglob("*.py")
    )
    sources = [ROOT / "Makefile", *ROOT.glob("*.py"), *ROOT.glob("engine/caffe/**/*.py"), *ours]
    # Adjacent string literals count as one text, as Python reads them.
    text = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in sources)) + os.strerror(errno.ENOSPC)
    assert [word for word in words if word not in text] == []


def test_the_table_of_what_is_supported_is_the_registries():
    program = "import sys, supported; sys.stdout.write(supported.with_table(sys.stdin.read()))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "engine", input=README, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == README, "make supported"
