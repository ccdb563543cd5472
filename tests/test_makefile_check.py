"""Variables, targets and models that make would ignore are refused by name, and odd folders work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import makefile_check

ROOT = Path(__file__).parents[1]
TAKES, EVERY = makefile_check.table((ROOT / "Makefile").read_text())


def make(*words: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    kept = {name: value for name, value in kept.items() if name not in EVERY.union(*TAKES.values())}
    return subprocess.run(["make", *words], cwd=cwd, env=kept | variables, capture_output=True, text=True)


def refused(*words: str, **where) -> str:
    """The one line with which make refuses, before it starts anything."""
    done = make(*words, **where)
    lines = [line for line in done.stderr.splitlines() if "ing directory" not in line]
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    assert "python -m" not in done.stdout
    return lines[0]


@pytest.mark.parametrize(
    "words, said",
    [
        (["submission", "METOD=stacking"], "METOD: there is no such variable; the nearest is METHOD: make submission METHOD="),
        (["kmeans", "CLUSTER=500"], "the nearest is CLUSTERS: make kmeans CLUSTERS=500."),
        (["kmeans", "clusters=200 1000"], "the nearest is CLUSTERS: make kmeans 'CLUSTERS=200 1000'."),
        (["lr-nin1", "lr=0.001"], "lr: there is no such variable; the nearest is LR: make lr-nin1 LR=0.001."),
        (["train-nin1", "GPUS=1"], "the nearest is GPU: make train-nin1 GPU=1."),
        (["data", "TINYIMAGENET=a b.zip"], "the nearest is TINY_IMAGENET: make data 'TINY_IMAGENET=a b.zip'."),
        (["lmdb", "HOLD_OUT=5"], "the nearest is HOLDOUT: make lmdb HOLDOUT=5."),
        (["lmdb", "HOLDOUTS:=5"], "the nearest is HOLDOUT: make lmdb HOLDOUT=5."),
        (["GPUS=1"], "the nearest is GPU: make help GPU=1."),
        (["train-nin1", "METOD=stacking"], "METOD: there is no such variable; the nearest is METHOD, of make submission."),
        (["train-nin1", "OMP_NUM_THREADS=2"], "it goes before make: OMP_NUM_THREADS=2 make train-nin1."),
        (["kmeans", "CLUSTER=2", "SEEDS=1"], "the nearest is SEED: make kmeans SEED=1."),
    ],
)  # fmt: skip
def test_a_misspelt_variable_is_refused_with_the_nearest(words, said):
    line = refused(*words)
    assert said in line
    assert all(word.rstrip(":").partition("=")[0].rstrip(":") in line for word in words if "=" in word)


@pytest.mark.parametrize(
    "words, said",
    [
        (["ensemble", "LR=1"], "LR: make ensemble does not take it, but make lr-MODEL."),
        (["train-nin1", "LR=0.1"], "LR: make train-nin1 does not take it, but make lr-MODEL."),
        (["data", "lmdb", "LENGTH=0.1"], "LENGTH: make data lmdb does not take it, but make reproduce, make reproduce-status."),
        (["help", "BVLC=x"], "BVLC: make help does not take it"),
    ],
)  # fmt: skip
def test_a_variable_of_other_targets_is_refused(words, said):
    assert said in refused(*words)


@pytest.mark.parametrize("verb", sorted(name[: -len("MODEL")] for name in TAKES if name.endswith("-MODEL")))
def test_a_model_that_is_none_is_answered_with_those_there_are(verb):
    line = refused(f"{verb}nin9")
    assert f"make {verb}nin9: there is no model 'nin9'; the models are alexnet1, " in line
    assert "nin2, nin3" in line and line.endswith(f"the nearest is make {verb}nin1.  Stop.")
    assert "the models are alexnet1, alexnet2, nin1; " in refused(f"{verb}nin2", "-f", "../Makefile", cwd=ROOT / "demo")


@pytest.mark.parametrize(
    "words, said",
    [
        (["trian-nin1"], "make trian-nin1: there is no such target; the nearest is make train-nin1."),
        (["score-nin1"], "the nearest is make scores-nin1."),
        (["tset"], "the nearest is make test; make help lists all."),
        (["lmbd"], "the nearest is make lmdb;"),
        (["xyzzy"], "make xyzzy: there is no such target; make help lists all."),
        (["halt-nin1"], "make halt-nin1: there is no such target; a model has train-, resume-, "),
        (["lr-nin1", "0.001"], "make 0.001: a rate is a variable and no target: write LR=0.001."),
        (["models", "tset"], "make tset: there is no such target"),
    ],
)
def test_a_target_that_is_none_is_answered_with_the_nearest(words, said):
    assert said in refused(*words)


def test_the_table_has_every_variable_of_the_makefile():
    text = (ROOT / "Makefile").read_text()
    given = {line.split()[0] for line in text.splitlines() if " ?=" in line} | {"METHOD", "BALANCE", "LR", "BVLC"}
    assert given == EVERY.union(*TAKES.values())


@pytest.mark.parametrize(
    "value", ["$(shell touch made)", "`touch made`", '"; touch made; "', "$HOME", "a\\", "it's", "#"]
)
def test_a_value_reaches_the_command_as_it_was_typed(tmp_path, value):
    show = tmp_path / "show"
    show.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    show.chmod(0o755)
    options = ["-f", str(ROOT / "Makefile"), "-o", "setup", f"PYTHON={show}"]
    for given, variables in (([f"HOLDOUT={value}"], {}), ([], {"HOLDOUT": value})):
        done = make(*options, "lmdb", *given, cwd=tmp_path, **variables)
        assert f"'--holdout', {value!r}, '--seed', ''" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == ["show"]


@pytest.mark.parametrize("given", [["HOLDOUT=5\ntouch made"], ["MODELS=nin1;touch made", "-n"], ["VIEW=10crop;touch"]])
def test_values_that_no_recipe_can_hold_are_refused(given):
    name = given[0].partition("=")[0]
    line = refused("lmdb" if name == "HOLDOUT" else "ensemble", *given)
    assert f" {name}: " in line and not (ROOT / "made").exists()


@pytest.mark.parametrize(
    "name", ["a b", "it's", "x$y", "h#a", "ü ö", 'q"r', "b`c", "(d)", "a&b;c", "back\\slash", "p%q"]
)
def test_every_character_of_a_path_but_a_colon_works(tmp_path, name):
    folder = tmp_path / name / "experiment"
    (folder / "solvers").mkdir(parents=True)
    (folder / "solvers/nin1.prototxt").touch()
    (folder / ".venv/bin").mkdir(parents=True)
    for file in ("Makefile", "harness/makefile_check.py"):
        (folder / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    for command in ("python", "caffe"):
        path = folder / ".venv/bin" / command
        path.write_text(
            f"#!{sys.executable}\nimport os, sys\nprint([sys.argv[0], os.environ['PYTHONPATH'], *sys.argv[1:]])\n"
        )
        path.chmod(0o755)
    assert make(cwd=folder).stdout.splitlines()[-1] == "  models: nin1"
    (folder / "sub/solvers").mkdir(parents=True)
    (folder / "sub/solvers/nin2.prototxt").touch()
    for where, options, model in ((folder, [], "nin1"), (folder / "sub", ["-f", "../Makefile"], "nin2")):
        done = make("-o", "setup", f"train-{model}", *options, cwd=where, PYTHONPATH="given")
        assert done.returncode == 0, done.stderr
        python = os.path.relpath(folder / ".venv/bin/python", where)
        python = python if python.startswith("..") else f"./{python}"
        words = [
            python,
            f"{folder}:given",
            "-m",
            "training.run",
            "train",
            model,
            "--caffe",
            f"{folder}/.venv/bin/caffe",
        ]
        assert done.stdout.startswith(repr(words)[:-1]), done.stdout
    by_path = make("help", "-f", str(folder / "Makefile"), cwd=tmp_path)
    assert by_path.returncode == 2 and "go to " in by_path.stderr and by_path.stderr.count("\n") == 1


def test_a_colon_in_the_path_is_one_line(tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    for file in ("Makefile", "harness/makefile_check.py"):
        (folder / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    for words in ([], ["help"], ["train-nin1"]):
        assert "has a colon or a line break in its path, which PYTHONPATH cannot hold: rename it" in refused(
            *words, cwd=folder
        )


def test_a_solver_whose_name_is_no_word_is_named(tmp_path):
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers/my net.prototxt").touch()
    (tmp_path / "solvers/a;b.prototxt").touch()
    assert "'a;b' is part of no name of a model" in refused("help", "-f", str(ROOT / "Makefile"), cwd=tmp_path)
