"""README says what is: its commands exist, and its list of layers is the registry's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", README, re.S))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", README, re.M))))
def test_every_make_target_of_readme_exists(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_two_commands_come_first():
    assert re.findall(r"^make (\w+)", blocks("sh"), re.M)[:2] == ["demo", "test"]


def test_every_folder_and_file_of_readme_exists():
    named = {path.rstrip("/") for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", README)}
    made = ("runs", "data", "reference/root")  # by running the commands
    missing = [path for path in named if not path.startswith(made) and not (ROOT / path).exists()]
    assert named and not missing


def test_the_table_of_what_is_supported_is_the_registries():
    program = "import sys, supported; sys.stdout.write(supported.with_table(sys.stdin.read()))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "engine", input=README, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == README, "make supported"
