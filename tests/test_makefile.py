"""The Makefile: help lists what there is, and -n runs nothing."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Makefile").read_text()


def make(*arguments, cwd=ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_has_a_line_for_every_target():
    listed = re.findall(r"^  make (\S+) +\S", make("help"), re.M)
    named = re.findall(r"^\.PHONY: (.+)$", TEXT, re.M)
    plain = {word for line in named if "$" not in line for word in line.split()}
    of_models = set(re.search(r"foreach verb,([^,]+),", TEXT)[1].split())
    assert plain and of_models
    assert sorted(listed) == sorted(plain | {f"{verb}-MODEL" for verb in of_models})


def test_every_target_has_a_rule():
    targets = [name.replace("MODEL", "nin1") for name in re.findall(r"^  make (\S+)", make("help"), re.M)]
    told = make("-n", *targets, "BVLC=x", "LR=1")
    assert set(re.findall(r"Nothing to be done for '(.*)'", told)) <= {"setup"}


def test_n_does_nothing_and_help_is_the_default(tmp_path):
    before = sorted(tmp_path.iterdir())
    assert "training.run train" in make("-n", "-f", str(ROOT / "Makefile"), "MODELS=nin1", "train-nin1", cwd=tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    assert make() == make("help")


def test_board_listens_to_this_machine_alone():
    assert "--host 127.0.0.1" in make("-n", "board")


def ensemble(folder, *arguments) -> subprocess.CompletedProcess:
    command = ["make", "-f", str(ROOT / "Makefile"), "-o", "setup", "PYTHON=echo", "ensemble", "GPU=", *arguments]
    environment = {
        name: value for name, value in os.environ.items() if name != "MODELS" and not name.startswith("MAKE")
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_an_ensemble_is_of_the_trained_models(tmp_path):
    (tmp_path / "solvers").mkdir()
    for name in ("nin1", "nin2", "nin1_prelu"):
        (tmp_path / f"solvers/{name}.prototxt").touch()
    none = ensemble(tmp_path)
    assert none.returncode and "no model is trained yet; make train-nin1 trains one" in none.stderr
    assert "ensemble.combine" not in none.stdout
    for name in ("nin1", "nin1_prelu"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / f"{name}_iter_20.caffemodel").touch()
    some = ensemble(tmp_path)
    assert some.stdout.splitlines() == [
        "-m ensemble.scoring.scores nin1 --gpu ",
        "-m ensemble.scoring.scores nin1_prelu --gpu ",
        "-m ensemble.combine nin1 nin1_prelu",
    ]
    assert some.stderr.splitlines()[-1:] == ["Left out (no snapshot in runs/): nin2"]
    named = ensemble(tmp_path, "MODELS=nin1 nin2")
    assert named.stdout.splitlines()[-1] == "-m ensemble.combine nin1 nin2" and "Left out" not in named.stderr
