"""How every command of the experiment ends: with a paragraph, not with a traceback."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import commands

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__main__")
    for folder in ("data_prep", "models", "training", "ensemble", "report", "demo")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


def ended(main: str, **environment) -> subprocess.CompletedProcess:
    """A process whose command is the body of a function."""
    program = f"import sys\nfrom harness import commands\ndef main():\n    {main}\ncommands.run(main)"
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


def test_ctrl_c_during_the_imports():
    done = subprocess.run(
        [sys.executable, "-c", "from harness import commands\nraise KeyboardInterrupt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "stopped\n")
    done = subprocess.run(
        [sys.executable, "-c", "from harness import commands\n1 / 0"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("Traceback")


def under_make(folder: Path, begin: str, who: str) -> tuple[int, str]:
    """A command under make that gets a Ctrl-C, as a terminal gives it to both or to the command alone.

    Returns:
        make's return code and all that was said.
    """
    program = f"import os, signal, sys, time\nfrom harness import commands\n{begin}"
    (folder / "it.py").write_text(f"{program}\ncommands.run(main)\n")
    (folder / "Makefile").write_text(
        f'override PYTHON := exec {sys.executable}\nall:\n\t@$(PYTHON) it.py ""\n\t@echo the next line\n'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["PYTHONPATH"] = str(ROOT)
    make = subprocess.Popen(
        ["make"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    command = int(make.stdout.readline())
    if who == "both":
        os.killpg(make.pid, signal.SIGINT)
    else:
        os.kill(command, signal.SIGINT)
    said, _ = make.communicate(timeout=60)
    return make.returncode, said


SLEEPS = """
def main():
    print(os.getpid(), flush=True)
    time.sleep(60)
"""
STOPS = """
def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    print(os.getpid(), flush=True)
    signal.sigwait([signal.SIGINT])
    return {}
"""


@pytest.mark.parametrize("who", ["both", "the command"])
@pytest.mark.parametrize(("begin", "said"), [(SLEEPS, "stopped\n"), (STOPS.format(130), ""), (STOPS.format(143), "")])
def test_ctrl_c_under_make_has_no_error_line(tmp_path, who, begin, said):
    assert under_make(tmp_path, begin, who) == (-signal.SIGINT, said)


def test_a_clean_stop_under_make_has_no_error_line(tmp_path):
    """A training that has stopped with a snapshot ends with 0; a shell between would die of the Ctrl-C."""
    assert under_make(tmp_path, STOPS.format(0), "both") == (-signal.SIGINT, "")


def test_an_error_under_make_stays_one(tmp_path):
    status, said = under_make(tmp_path, STOPS.format(3), "both")
    assert status == -signal.SIGINT and "it.py" not in said and "Error 3" in said


def test_the_makefile_runs_its_commands_without_a_shell_between():
    told = subprocess.run(["make", "-n", "train-nin1", "PYTHON=python3"], cwd=ROOT, capture_output=True, text=True)
    assert "\nexec python3 -m training.run train nin1 " in f"\n{told.stdout}"


WAITS = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("waits", flush=True)
signal.sigwait([signal.SIGINT])
sys.exit(5)
"""


def test_a_child_that_is_waited_for_is_asked_once_and_in_its_time(tmp_path):
    program = "import sys; from harness import commands; print(commands.wait_for([sys.executable, '-c', sys.argv[1]]))"
    parent = subprocess.Popen(
        [sys.executable, "-c", program, WAITS], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout.readline() == "waits\n"
    os.killpg(parent.pid, signal.SIGINT)
    said, _ = parent.communicate(timeout=60)
    assert (parent.returncode, said) == (0, "(5, True)\n")


def test_a_child_that_ends_by_itself():
    assert commands.wait_for([sys.executable, "-c", "raise SystemExit(4)"]) == (4, False)


def test_a_reader_that_has_gone():
    done = ended("print('x' * 100000); sys.stdout.flush(); raise BrokenPipeError")
    assert (done.returncode, done.stderr) == (141, "")


def test_every_command_ends_so():
    assert {"training.run", "ensemble.scoring.scores", "data_prep.build_lmdb", "models.render", "demo"} <= set(MODULES)
    for module in MODULES:
        path = ROOT / module.replace(".", "/")
        path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert re.search(r'^if __name__ == "__main__":\n    commands\.run\(', path.read_text(), re.M), module
