"""Log lines are glog's, which users' scripts and parse_log.py match."""

import os
import re
import subprocess
import sys
import time

import pytest
from caffe import init_log, log
from caffe._log import logger

from tests.engine.command import environment

# Severity, month and day, time with microseconds, thread, file and line.
GLOG = re.compile(r"^([IWEF])(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6}) +(\d+) ([\w.]+):(\d+)\] (.*)$")


@pytest.fixture(autouse=True)
def restored():
    yield
    init_log()


def test_line_format(capsys):
    init_log(0)
    before = time.localtime()
    log("hello")
    logger.warning("Iteration %d, lr = %g", 20, 0.001)
    logger.error("third")
    lines = capsys.readouterr().err.splitlines()
    matches = [GLOG.match(line) for line in lines]
    assert all(matches) and len(lines) == 3
    assert [m[1] for m in matches] == ["I", "W", "E"]
    assert [m[11] for m in matches] == ["hello", "Iteration 20, lr = 0.001", "third"]
    assert {m[9] for m in matches} == {"test_log.py"}
    assert (int(matches[0][2]), int(matches[0][3])) == (before.tm_mon, before.tm_mday)
    assert int(matches[0][8]) > 0


def test_no_empty_line_follows_a_message_that_ends_its_line(capsys):
    init_log(0)
    logger.info("Initializing net from parameters: \n%s", 'name: "a"\n\nlayer {\n}\n')
    logger.info("\n")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("] Initializing net from parameters: ")
    assert rest[:-1] == ['name: "a"', "", "layer {", "}"] and rest[-1].endswith("] ")


def test_small_thread_ids_are_padded(capsys, monkeypatch):
    init_log(0)
    monkeypatch.setattr("threading.get_native_id", lambda: 42)
    log("x")
    assert re.search(r"\.\d{6}    42 test_log.py", capsys.readouterr().err)


@pytest.mark.parametrize("level, shown", [(0, "IWE"), (1, "WE"), (2, "E"), (3, "")])
def test_levels(capsys, monkeypatch, level, shown):
    monkeypatch.setitem(os.environ, "GLOG_minloglevel", str(level))
    init_log()
    for write in (logger.info, logger.warning, logger.error):
        write("x")
    assert "".join(line[0] for line in capsys.readouterr().err.splitlines()) == shown


def test_a_bad_variable_does_not_end_a_script(tmp_path):
    (tmp_path / "script.py").write_text("import caffe\ncaffe.log('it runs')")
    variables = {"GLOG_minloglevel": "x", "GLOG_v": "much", "GLOG_log_dir": "nowhere"}
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment() | variables, capture_output=True, text=True)
    lines = [GLOG.match(line) for line in done.stderr.splitlines()]
    assert done.returncode == 0 and [line[1] for line in lines] == ["W", "W", "I"], done.stderr
    assert lines[0][11] == "GLOG_minloglevel=x: the value must be a whole number; it is taken as 0, as glog does."
    assert lines[1][11].startswith("GLOG_v=much: ") and lines[2][11] == "it runs"


def test_percent_in_a_message(capsys):
    init_log(0)
    log("100% done")
    assert capsys.readouterr().err.endswith("] 100% done\n")


def test_without_stderr(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    init_log(0, stderr=False)
    log("x")
    assert capsys.readouterr().err == ""
