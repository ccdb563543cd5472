"""glog's log files: names, links, header, levels, size, and what happens when they cannot be written."""

import errno
import os
import re
import stat
import sys
from datetime import datetime
from pathlib import Path

import pytest
from caffe import _log, _log_files, _log_flags, init_log
from caffe._log import logger
from caffe._log_files import LogFiles

HEADER = re.compile(
    r"Log file created at: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\n"
    r"Running on machine: \S+\n"
    r"Log line format: \[IWEF\]mmdd hh:mm:ss\.uuuuuu threadid file:line\] msg\n"
)
NAME = re.compile(r"caffe\.([^.]+)\.([^.]+)\.log\.(INFO|WARNING|ERROR|FATAL)\.\d{8}-\d{6}\.(\d+)")


@pytest.fixture(autouse=True)
def restored():
    yield
    init_log()


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts the log as a command with these flags does."""
    monkeypatch.setenv("USER", "alice")

    def start(**flags):
        defaults = {name: flag.default for name, flag in _log_flags.LOG_FLAGS.items()}
        _log.start(defaults | flags, "caffe")

    return start


def write_all():
    for level, write in (("i", logger.info), ("w", logger.warning), ("e", logger.error), ("f", logger.critical)):
        write("%s of four", level)


def messages(folder):
    """The messages of each level's file by its link."""
    found = {}
    for link in folder.iterdir():
        if link.is_symlink():
            text = link.read_text()
            assert HEADER.match(text)
            found[link.name] = [line.rpartition("] ")[2] for line in HEADER.sub("", text).splitlines()]
    return found


def test_each_level_has_its_lines_and_all_higher_ones(tmp_path, started, capsys):
    started(log_dir=str(tmp_path))
    write_all()
    lines = ["i of four", "w of four", "e of four", "f of four"]
    assert messages(tmp_path) == {
        "caffe.INFO": lines, "caffe.WARNING": lines[1:], "caffe.ERROR": lines[2:], "caffe.FATAL": lines[3:],
    }  # fmt: skip
    assert [line.rpartition("] ")[2] for line in capsys.readouterr().err.splitlines()] == lines


def test_names(tmp_path, started):
    started(log_dir=str(tmp_path))
    logger.info("one")
    link = tmp_path / "caffe.INFO"
    assert sorted(os.listdir(tmp_path)) == sorted(["caffe.INFO", os.readlink(link)])
    name = NAME.fullmatch(os.readlink(link))
    assert name.groups() == (os.uname().nodename, "alice", "INFO", str(os.getpid()))


@pytest.mark.parametrize(
    ("flags", "shown", "files"),
    [
        ({}, "IWEF", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"alsologtostderr": False}, "EF", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"alsologtostderr": False, "stderrthreshold": 0}, "IWEF", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"alsologtostderr": False, "stderrthreshold": 1}, "WEF", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"alsologtostderr": False, "stderrthreshold": 99}, "F", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"stderrthreshold": 3}, "IWEF", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"logtostderr": True, "alsologtostderr": False}, "IWEF", []),
        ({"minloglevel": 2}, "EF", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"minloglevel": 99}, "F", ["ERROR", "FATAL", "INFO", "WARNING"]),
        ({"minloglevel": -1}, "IWEF", ["ERROR", "FATAL", "INFO", "WARNING"]),
    ],
)
def test_where_lines_go(flags, shown, files, tmp_path, started, capsys):
    started(log_dir=str(tmp_path), **flags)
    write_all()
    assert "".join(line[0] for line in capsys.readouterr().err.splitlines()) == shown
    assert sorted(link.removeprefix("caffe.") for link in messages(tmp_path)) == files
    if files:
        assert len(messages(tmp_path)["caffe.INFO"]) == (len(shown) if "minloglevel" in flags else 4)


def test_no_files_unless_asked_for(tmp_path, started, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    started()
    write_all()
    assert os.listdir(tmp_path) == []
    # Lines kept off standard error would be lost without a file.
    started(alsologtostderr=False)
    logger.info("kept")
    assert messages(tmp_path) == {"caffe.INFO": ["kept"]}


def test_without_prefix(tmp_path, started, capsys):
    started(log_dir=str(tmp_path), log_prefix=False)
    logger.warning("bare\n")
    assert capsys.readouterr().err == "bare\n"
    assert HEADER.sub("", (tmp_path / "caffe.INFO").read_text()) == "bare\n"


def test_mode_and_another_folder_of_links(tmp_path, started, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("logs")
    os.mkdir("links")
    started(log_dir="logs", log_link="links", logfile_mode=0o600)
    logger.info("one")
    for link in ("logs/caffe.INFO", "links/caffe.INFO"):
        assert os.path.islink(link) and Path(link).read_text().endswith("] one\n")
        assert stat.S_IMODE(os.stat(link).st_mode) == 0o600


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the log's clock gives, one for each file that is begun."""
    seconds = []
    now = staticmethod(lambda: datetime(2026, 12, 1, 3, 57, seconds.pop(0)))
    monkeypatch.setattr(_log_files, "datetime", type("Clock", (), {"now": now}))
    return seconds


def test_a_full_file_is_followed_by_another(tmp_path, clock):
    files = LogFiles(str(tmp_path), "caffe", 0o664, 1, "")
    clock += [1, 2, 9]
    text = b"x" * (1 << 19) + b"\n"
    for _ in range(5):
        files.write(0, text)
    files.close()
    sizes = [os.path.getsize(tmp_path / name) for name in sorted(os.listdir(tmp_path)) if "log" in name]
    header = sizes[-1] - len(text)
    assert header > 0 and sizes == [header + 2 * len(text), header + 2 * len(text), header + len(text)]
    assert os.readlink(tmp_path / "caffe.INFO").endswith(f"20261201-035709.{os.getpid()}")


def test_within_one_second_a_full_file_continues(tmp_path, clock):
    files = LogFiles(str(tmp_path), "caffe", 0o664, 1, "")
    clock += [4, 4, 4]
    for _ in range(3):
        files.write(0, b"x" * (1 << 20))
    files.close()
    (name,) = (name for name in os.listdir(tmp_path) if "log" in name)
    assert os.path.getsize(tmp_path / name) > 3 << 20


def test_a_forked_child_has_files_of_its_own(tmp_path, started, monkeypatch):
    started(log_dir=str(tmp_path), alsologtostderr=False)
    logger.info("parent")
    monkeypatch.setattr("os.getpid", lambda: 4242)
    logger.info("child")
    files = {path.name.rpartition(".")[2]: path.read_text() for path in tmp_path.iterdir() if not path.is_symlink()}
    assert files.pop("4242").endswith("] child\n")
    (parent,) = files.values()
    assert parent.endswith("] parent\n")


def test_a_folder_that_does_not_exist(tmp_path, started, capsys):
    started(log_dir=str(tmp_path / "logs"), alsologtostderr=False)
    logger.info("one")
    logger.info("two")
    warning, *lines = capsys.readouterr().err.splitlines()
    assert f"--log_dir={tmp_path}/logs (or GLOG_log_dir): No such file or directory (mkdir -p " in warning
    assert [line.rpartition("] ")[2] for line in lines] == ["one", "two"]
    (tmp_path / "logs").mkdir()
    logger.info("three")
    assert messages(tmp_path / "logs") == {"caffe.INFO": ["three"]} and not capsys.readouterr().err


def test_a_full_disk(tmp_path, started, capsys, monkeypatch):
    """Half a line is removed. Later lines go to standard error, and to the file once there is room."""
    started(log_dir=str(tmp_path), alsologtostderr=False)
    logger.info("before")
    write = os.write

    def full(fd, text):
        if len(text) < 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, bytes(text)[: len(text) // 2])

    monkeypatch.setattr("os.write", full)
    logger.info("while it is full")
    monkeypatch.undo()
    logger.info("after")
    warning, line = capsys.readouterr().err.splitlines()
    assert f"--log_dir={tmp_path} (or GLOG_log_dir): No space left on device. Lines go to standard error" in warning
    assert line.endswith("] while it is full")
    assert messages(tmp_path) == {"caffe.INFO": ["before", "after"]}


def test_a_file_that_cannot_get_its_header_is_removed(tmp_path, monkeypatch):
    files = LogFiles(str(tmp_path), "caffe", 0o664, 1, "")

    def full(fd, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(0, b"x\n")
    assert os.listdir(tmp_path) == []


def test_a_link_of_somebody_else_is_not_written_through(tmp_path, started, clock, capsys):
    """In a world-writable folder, a file with the log's name may be a link to another file."""
    clock.append(0)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    logs = tmp_path / "logs"
    logs.mkdir()
    name = f"caffe.{os.uname().nodename}.alice.log.INFO.20261201-035700.{os.getpid()}"
    (logs / name).symlink_to(victim)
    started(log_dir=str(logs))
    logger.info("one")
    assert victim.read_text() == "mine" and "Lines go to standard error" in capsys.readouterr().err


def test_names_that_are_no_unicode(tmp_path, started, capsys):
    started(log_dir=str(tmp_path))
    logger.info("%s", b"caf\xe9".decode(errors="surrogateescape"))
    assert messages(tmp_path)["caffe.INFO"] == ["caf\\udce9"]
    assert "caf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("terminal", "term", "color"),
    [(True, "xterm", True), (True, "dumb", False), (True, "", False), (False, "xterm", False)],
)
def test_colors(terminal, term, color, started, monkeypatch, capsys):
    monkeypatch.setenv("TERM", term or "dumb")
    if not term:
        monkeypatch.delenv("TERM")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    started(colorlogtostderr=True)
    logger.info("plain")
    logger.warning("yellow")
    logger.error("red")
    told = capsys.readouterr().err
    assert told.startswith("I") and "plain\n" in told
    assert ("\x1b[0;33mW" in told and "yellow\n\x1b[m\x1b[0;31mE" in told and told.endswith("red\n\x1b[m")) == color
    assert ("\x1b" in told) == color


def test_of_workers_the_first_alone_has_links(tmp_path, started):
    started(log_dir=str(tmp_path))
    _log.of_worker(2)
    logger.info("not shown")
    logger.error("why")
    texts = {path.name.split(".")[4]: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(texts) == ["ERROR", "INFO", "WARNING"] and not any(path.is_symlink() for path in tmp_path.iterdir())
    assert all(text.endswith("] Worker 2: why\n") and "not shown" not in text for text in texts.values())


class TestInitLog:
    """pycaffe's init_log, by its variables."""

    @pytest.fixture(autouse=True)
    def temporary(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    @pytest.mark.parametrize(
        ("variables", "arguments", "shown", "files"),
        [
            ({}, (), "IWEF", 0),
            ({}, (1,), "WEF", 0),
            ({}, (0, True), "IWEF", 0),
            ({}, (0, False), "EF", 4),
            ({"GLOG_log_dir": "."}, (), "EF", 4),
            ({"GOOGLE_LOG_DIR": "."}, (), "EF", 4),
            ({"GLOG_log_dir": "", "GOOGLE_LOG_DIR": "."}, (), "IWEF", 0),
            ({"GLOG_log_dir": ".", "GLOG_alsologtostderr": "1"}, (), "IWEF", 4),
            ({"GLOG_log_dir": ".", "GLOG_stderrthreshold": "1"}, (), "WEF", 4),
            ({"GLOG_log_dir": ".", "GLOG_logtostderr": "true"}, (), "IWEF", 0),
            ({"GLOG_log_dir": ".", "GLOG_minloglevel": "3"}, (), "F", 4),
            ({"GLOG_log_dir": ".", "GLOG_minloglevel": "3"}, (0, True), "IWEF", 0),
            ({"GLOG_minloglevel": "2x"}, (), "EF", 0),
            ({"GLOG_minloglevel": "x"}, (), "IWEF", 0),
        ],
    )
    def test_where_lines_go(self, variables, arguments, shown, files, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith(("GLOG_", "GOOGLE_"))]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        init_log(*arguments)
        write_all()
        assert "".join(line[0] for line in capsys.readouterr().err.splitlines()) == shown
        assert len(messages(tmp_path)) == files
