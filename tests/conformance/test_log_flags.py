"""The flags and variables of glog and gflags: both engines' log destinations, line formats and exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .caffe_log import PREFIX
from .engines import OURS, REAL

pytestmark = pytest.mark.usefixtures("real_caffe")

START = "import sys; from caffe._commands.convert_imageset import main; sys.exit(main())"
NAME = re.compile(r"convert_imageset\.([^.]+)\.([^.]+)\.log\.(INFO|WARNING|ERROR)\.\d{8}-\d{6}\.\d+")


def convert(engine: str, words: list[str], folder: Path) -> subprocess.CompletedProcess:
    """convert_imageset of an image that is missing: it logs INFO and ERROR lines. Words with = come before it."""
    variables = [word for word in words if not word.startswith("-")]
    flags = [word for word in words if word.startswith("-")]
    settings = ["TMPDIR=tmp", "USER=alice", *variables]
    places = ["./", "list", "db"]
    if engine == "ours":
        return OURS.run(["env", *settings, sys.executable, "-c", START, *flags, *places], folder)
    return REAL.run([*REAL.command(folder)[:-1], *settings, "convert_imageset", *flags, *places], folder)


def kinds(text: str) -> set[str]:
    """The kinds of line in a text: severities by their letter, and "bare" for lines without a prefix."""
    return {line[0] if re.match(PREFIX, line) else "bare" for line in text.splitlines()}


def found(engine: str, words: list[str], folder: Path) -> dict[str, object]:
    """The exit status, the kinds of line on standard error, and each log file by its folder and level."""
    for name in ("logs", "links", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "list").write_text("missing.png 3\n")
    (folder / "few.flags").write_text("# quiet\n\n--minloglevel=2\nother\n--minloglevel=0\n")
    (folder / "nested.flags").write_text(
        "other\n--log_prefix=true\nconv*\n--nolog_prefix\n--flagfile=few.flags\n--bogus"
    )
    done = convert(engine, words, folder)
    files: dict[str, object] = {}
    for path in sorted(path for name in ("logs", "links", "tmp") for path in (folder / name).iterdir()):
        if path.is_symlink():
            files[f"{path.parent.name}/{path.name}"] = bool(NAME.fullmatch(os.path.basename(os.readlink(path))))
            continue
        host, user, level = NAME.fullmatch(path.name).groups()
        if path.stat().st_size:
            header, body = path.read_text().split("file:line] msg\n")
            files[f"{path.parent.name}/{level}"] = (
                host,
                user,
                re.sub(r"\d", "9", header),
                kinds(body),
                path.stat().st_mode,
            )
    return {"status": done.returncode, "told": done.stdout, "kinds": kinds(done.stdout), "files": files}


LOGGED = [
    "--log_dir=logs",
    "--log_dir=logs -noalsologtostderr",
    "--log_dir=logs --alsologtostderr=false --stderrthreshold=0",
    "--noalsologtostderr",  # to the folder for temporary files
    "--log_dir=logs --logtostderr",
    "--log_dir=logs --minloglevel=1",
    "--log_dir=logs --minloglevel=-1",
    "--log_dir=logs --minloglevel=99",
    "--log_dir=logs --log_prefix=false",
    "--log_dir=logs --log_link=links --logfile_mode=0x180",
    "--log_dir=logs --v=1 --vmodule=x=2 --logbufsecs=0 --logbuflevel=-1 --colorlogtostderr --max_log_size=0",
    "--log_dir=logs --flagfile=few.flags",
    "--log_dir=logs --flagfile=nested.flags --minloglevel=0",
    "--log_dir=logs --bogus --other=3 --undefok=bogus,other",
    "FLAGS_log_dir=logs FLAGS_log_prefix=n --fromenv=log_dir --tryfromenv=log_prefix,minloglevel",
    "GLOG_log_dir=logs",
    "GOOGLE_LOG_DIR=logs GLOG_log_prefix=0",
    "GLOG_log_dir=logs GLOG_minloglevel=2 GLOG_alsologtostderr=0",
    "GLOG_log_dir=links GLOG_minloglevel=2 --log_dir=logs --minloglevel=0",
    "GLOG_log_dir=logs GLOG_logtostderr=yes",
]


@pytest.mark.parametrize("line", LOGGED)
def test_where_lines_go(line: str, work: Path, request: pytest.FixtureRequest) -> None:
    folder = work / f"logged{LOGGED.index(line)}"
    mine, theirs = (found(engine, line.split(), folder / engine) for engine in ("ours", "real"))
    assert mine["status"] == theirs["status"] == 0, mine["told"]
    assert mine["kinds"] == theirs["kinds"], mine["told"]
    assert mine["files"] == theirs["files"]


def test_without_a_folder_there_are_no_files(work: Path) -> None:
    """Real Caffe writes files to /tmp (TMPDIR here) in every run. Ours does so only if it is asked to."""
    mine, theirs = (found(engine, [], work / "none" / engine) for engine in ("ours", "real"))
    assert mine["status"] == theirs["status"] == 0 and mine["kinds"] == theirs["kinds"] == {"I", "E"}
    assert not mine["files"] and "tmp/INFO" in theirs["files"]


REFUSED = [
    "--minloglevel=x", "--minloglevel=", "--minloglevel=99999999999", "--stderrthreshold=1.5", "--logfile_mode=rw",
    "--log_prefix=on", "--log_prefix=", "--bogus", "--nominloglevel", "---minloglevel=1", "--min-log-level=1",
    "--flagfile=nowhere", "--fromenv=minloglevel", "--tryfromenv=bogus", "FLAGS_v=x --fromenv=v",
]  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_refused(line: str, work: Path) -> None:
    folder = work / f"refused{REFUSED.index(line)}"
    mine, theirs = (found(engine, line.split(), folder / engine) for engine in ("ours", "real"))
    assert mine["status"] == theirs["status"] == 1 and not mine["files"]
    # Ours says the same in the same words, and more: what is accepted, or the nearest name.
    first = mine["told"].splitlines()[0].partition(";")[0]
    if "illegal value" in theirs["told"]:
        assert first.removeprefix("ERROR: FLAGS_v: ").removeprefix("ERROR: ") in theirs["told"]
    assert first.startswith("ERROR: ") and "Traceback" not in mine["told"]


@pytest.mark.parametrize("line", ["GLOG_log_dir=nowhere", "--log_dir=nowhere", "--log_dir=list"])
def test_a_folder_that_takes_no_files(line: str, work: Path) -> None:
    """The command works without them."""
    folder = work / re.sub(r"\W", "_", line)
    mine, theirs = (found(engine, line.split(), folder / engine) for engine in ("ours", "real"))
    assert mine["status"] == theirs["status"] == 0 and not mine["files"] and not theirs["files"]
    reason = "Not a directory" if "list" in line else "No such file or directory"
    assert f"Could not create logging file: {reason}" in theirs["told"]
    assert f"--log_dir={line.partition('=')[2]} (or GLOG_log_dir): {reason}" in mine["told"].splitlines()[0]


PYCAFFE = """
import sys
import caffe
if len(sys.argv) > 1:
    caffe.init_log(*map(int, sys.argv[1].split(",")))
caffe.log("hello")
"""


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ("", "GLOG_log_prefix=0"),
        ("", "GLOG_minloglevel=1"),
        ("", "GLOG_minloglevel=x"),
        ("0", "GLOG_minloglevel=1"),
        ("0", "GLOG_alsologtostderr=1"),
        ("0,1", "GLOG_log_prefix=0"),
    ],
)
def test_pycaffe(arguments: str, variables: str, work: Path) -> None:
    """The variables that pycaffe obeys, with init_log and without it, while GLOG_log_dir names a folder."""
    shown = []
    for engine in (OURS, REAL):
        name = f"pycaffe.{engine.name}.{arguments}.{variables}"
        folder = work / re.sub(r"\W", "_", name)
        (folder / "logs").mkdir(parents=True)
        (folder / "script.py").write_text(PYCAFFE)
        python = [sys.executable] if engine is OURS else engine.interpreter(folder)[:-1]
        settings = ["GLOG_log_dir=logs", variables]
        command = ["env", *settings, *python] if engine is OURS else [*python, *settings, "python3"]
        done = engine.run([*command, "script.py", *filter(None, [arguments])], folder)
        assert done.returncode == 0, done.stdout
        told = [line for line in done.stdout.splitlines() if line.endswith("hello")]
        files = [path for path in (folder / "logs").iterdir() if not path.is_symlink()]
        shown.append((list(map(kinds, told)), [kinds(path.read_text().split("msg\n")[1]) for path in files]))
    assert shown[0] == shown[1]
