"""Flags as gflags reads them, from the command line, flag files and variables; the values are those of real Caffe."""

import os
import re
from pathlib import Path

import pytest
from caffe import _log_flags
from caffe._commands import command_line, upgrade_proto
from caffe._commands.program_help import HelpAsked

FLAGS = {"solver": "", "iterations": 50}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("GLOG_", "GOOGLE_", "FLAGS_"))]:
        monkeypatch.delenv(name)


def parse(line):
    return command_line.parse(line.split(" "), FLAGS)[0]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--log_dir=logs", {"log_dir": "logs", "alsologtostderr": True, "minloglevel": 0}),
        ("-log_dir logs --minloglevel -1", {"log_dir": "logs", "minloglevel": -1}),
        ("--v=0x10", {"v": 16}),
        ("--v=010", {"v": 10}),
        ("--v=+1", {"v": 1}),
        ("--log_prefix=YES --colorlogtostderr=T", {"log_prefix": True, "colorlogtostderr": True}),
        ("--nolog_prefix", {"log_prefix": False}),
        ("--nolog_prefix=true", {"log_prefix": False}),
        ("--log-prefix=false", {"log_prefix": False}),
        ("--minloglevel=1 --minloglevel=0", {"minloglevel": 0}),
        ("--logbuflevel=-1 --logbufsecs=0 --vmodule=solver=3", {"logbuflevel": -1, "vmodule": "solver=3"}),
        ("--bogus=3 --undefok=bogus,other", {"iterations": 50}),
        ("--nobogus --undefok=bogus", {"iterations": 50}),
        ("--bogus --undefok=bogus", {"iterations": 50}),
    ],
)
def test_command_line(line, found):
    flags = parse(line)
    assert {name: getattr(flags, name) for name in found} == found


@pytest.mark.parametrize("name", _log_flags.LOG_FLAGS)
def test_every_flag_of_the_log_is_known_and_in_the_help(name):
    text = "1" if not isinstance(_log_flags.LOG_FLAGS[name].default, bool) else "true"
    assert str(getattr(parse(f"--{name}={text}"), name)).lower() == text
    with pytest.raises(HelpAsked) as asked:
        parse("--helpfull")
    told = upgrade_proto.Program("caffe", "caffe").answer(asked.value)
    assert re.search(rf"^  --{name}\b", told, re.M)
    assert (f"--{name}: Accepted without effect: " in told) == (name not in _log_flags.HEEDED)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--minloglevel=x", "illegal value 'x' specified for int32 flag 'minloglevel'; give a whole number"),
        ("--minloglevel=", "illegal value '' specified for int32 flag 'minloglevel'"),
        ("--v=99999999999", "illegal value '99999999999' specified for int32"),
        ("--v=1.0", "illegal value '1.0'"),
        ("--v=1_0", "illegal value '1_0'"),
        ("--v=٣", "illegal value '٣'"),
        ("--log_prefix=on", "illegal value 'on' specified for bool flag 'log_prefix'; give true or false"),
        ("--log_prefix=", "illegal value '' specified for bool flag 'log_prefix'"),
        ("--minloglevel", "flag '--minloglevel' is missing its value"),
        ("---minloglevel=1", "unknown command line flag '-minloglevel'"),
        ("--min-log-level=1", "unknown command line flag 'min-log-level'; did you mean minloglevel?"),
        ("--=x", "unknown command line flag ''"),
        ("--undefok=minloglevel --minloglevel=x", "illegal value 'x'"),
        ("--bogus --bogus2=3", "unknown command line flag 'bogus'\nERROR: unknown command line flag 'bogus2'"),
        ("--flagfile", "flag '--flagfile' is missing its value"),
        ("--flagfile=nofile", "--flagfile=nofile: No such file or directory"),
        ("--flagfile=.", "--flagfile=.: Is a directory"),
        ("--fromenv=minloglevel", "FLAGS_minloglevel not found in environment"),
        ("--fromenv=bogus", "unknown command line flag 'bogus' (via --fromenv or --tryfromenv)"),
        ("--tryfromenv=bogus", "unknown command line flag 'bogus' (via --fromenv or --tryfromenv)"),
    ],
)
def test_refused(line, message):
    with pytest.raises(command_line.UsageError, match="^" + re.escape(message)):
        parse(line)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("--solver=a.prototxt\n", {"solver": "a.prototxt"}),
        ("# comment\n\n   \n  --solver=a.prototxt\n\t-log_prefix=false", {"solver": "a.prototxt", "log_prefix": False}),
        ("--solver=a.prototxt\r\n--nolog_prefix\r\n", {"solver": "a.prototxt", "log_prefix": False}),
        ("--minloglevel= 1", {"minloglevel": 1}),
        ("--solver=a=b", {"solver": "a=b"}),
        ("--flagfile=two\n--minloglevel=0\n", {"minloglevel": 0}),
        ("--minloglevel=0\n--flagfile=two\n", {"minloglevel": 2}),
        ("--flagfile=two,two\n", {"minloglevel": 2}),
        ("--\n--minloglevel=1\n", {"minloglevel": 1}),
        # Sections of programs; lines of names that follow each other are one section's.
        ("other\n--minloglevel=1\n", {"minloglevel": 0}),
        ("caf*\n--minloglevel=1\n", {"minloglevel": 1}),
        ("caffe other\n\n--minloglevel=1\n", {"minloglevel": 1}),
        ("caffe\nother\n--minloglevel=1\n", {"minloglevel": 1}),
        ("other\n# caffe\ncaff?\n--minloglevel=1\n", {"minloglevel": 1}),
        ("--v=3\ncaffe\n--minloglevel=1\nother\n--v=4\n--bogus=1", {"minloglevel": 1, "v": 3}),
        ("train\n--minloglevel=1\n", {"minloglevel": 0}),
        ("--undefok=bogus\n", {"undefok": "bogus"}),
    ],
)
def test_flag_file(text, found, tmp_path):
    (tmp_path / "two").write_text("--minloglevel=2\n")
    (tmp_path / "one").write_bytes(text.encode())
    flags = parse("--flagfile=one")
    assert {name: getattr(flags, name) for name in found} == found
    assert not [warning for warning in flags.warnings if "'--'" not in warning]


def test_the_last_of_a_flag_file_and_the_command_line_counts(tmp_path):
    (tmp_path / "one").write_text("--iterations=7\n")
    assert parse("--flagfile=one --iterations=3").iterations == 3
    assert parse("--iterations=3 --flagfile=one").iterations == 7


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("--bogus=1", "one:2: '--bogus=1' is ignored: there is no such flag."),
        ("--solver a", "one:2: '--solver a' is ignored: there is no such flag. In a flag file write --solver=VALUE."),
        ("--solver", "one:2: '--solver' is ignored: in a flag file write --solver=VALUE."),
    ],
)
def test_lines_of_a_flag_file_that_are_ignored_are_named(line, warning, tmp_path):
    (tmp_path / "one").write_text(f"--v=1\n{line}\n--v=2\n")
    flags = parse("--flagfile=one")
    assert flags.warnings == [warning] and (flags.v, flags.solver) == (2, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--v=1\n--iterations=x", "one:2: illegal value 'x' specified for int32 flag 'iterations'"),
        ('--minloglevel="1"', "one:1: illegal value '\"1\"'"),
        ("-minloglevel=1 # why", "one:1: illegal value '1 # why'"),
        ("--flagfile=nofile", "--flagfile=nofile: No such file or directory"),
        ("--flagfile=one", "one reads itself, by way of one"),
        ("--flagfile=two", "one reads itself, by way of one, two"),
        ("--flagfile=a\0b", "--flagfile=a\0b: embedded null byte"),
    ],
)
def test_a_flag_file_that_is_refused(text, message, tmp_path):
    (tmp_path / "two").write_text("--flagfile=one")
    (tmp_path / "one").write_text(text)
    with pytest.raises(command_line.UsageError, match="^" + re.escape(message)):
        parse("--flagfile=one")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "one").write_bytes(b"\xff\xfe--v=1\n--solver=caf\xe9\n")
    # The first line is a program's name to gflags, and not this program's.
    assert parse("--flagfile=one").solver == ""
    (tmp_path / "one").write_bytes(b"--solver=caf\xe9\n")
    assert os.fsencode(parse("--flagfile=one").solver) == b"caf\xe9"


class TestFromEnvironment:
    @pytest.mark.parametrize(
        ("variables", "line", "found"),
        [
            ({"minloglevel": "1"}, "--fromenv=minloglevel", {"minloglevel": 1}),
            ({"minloglevel": "1"}, "--v=2", {"minloglevel": 0}),
            ({}, "--tryfromenv=minloglevel", {"minloglevel": 0}),
            ({"log_prefix": "no", "v": "3"}, "--tryfromenv=minloglevel,log_prefix,v,", {"log_prefix": False, "v": 3}),
            ({"v": "1"}, "--fromenv=v --v=0", {"v": 0}),
            ({"v": "1"}, "--v=0 --fromenv=v", {"v": 1}),
            ({"fromenv": "v", "v": "4"}, "--fromenv=fromenv", {"v": 4}),
            ({"flagfile": "one"}, "--fromenv=flagfile", {"v": 9}),
            ({}, "--fromenv=bogus --undefok=bogus", {"v": 0}),
        ],
    )
    def test_values(self, variables, line, found, tmp_path, monkeypatch):
        (tmp_path / "one").write_text("--v=9")
        for name, value in variables.items():
            monkeypatch.setenv(f"FLAGS_{name}", value)
        flags = parse(line)
        assert {name: getattr(flags, name) for name in found} == found

    def test_refused(self, monkeypatch):
        monkeypatch.setenv("FLAGS_v", "x")
        monkeypatch.setenv("FLAGS_fromenv", "fromenv")
        with pytest.raises(command_line.UsageError, match="^FLAGS_v: illegal value 'x'"):
            parse("--tryfromenv=v")
        with pytest.raises(command_line.UsageError, match="^FLAGS_fromenv reads itself"):
            parse("--fromenv=fromenv")


@pytest.mark.parametrize(
    ("variables", "found", "complaint"),
    [
        ({"GLOG_minloglevel": "2"}, {"minloglevel": 2}, ""),
        ({"GLOG_minloglevel": "-1"}, {"minloglevel": -1}, ""),
        ({"GLOG_minloglevel": ""}, {"minloglevel": 0}, ""),
        ({"GLOG_minloglevel": " 1"}, {"minloglevel": 1}, ""),
        ({"GLOG_minloglevel": "x"}, {"minloglevel": 0}, "GLOG_minloglevel=x: the value must be a whole number"),
        ({"GLOG_minloglevel": "1x"}, {"minloglevel": 1}, "it is taken as 1, as glog does."),
        ({"GLOG_minloglevel": "0x1"}, {"minloglevel": 0}, "it is taken as 0, as glog does."),
        ({"GLOG_log_prefix": "0"}, {"log_prefix": False}, ""),
        ({"GLOG_log_prefix": "no"}, {"log_prefix": False}, ""),
        ({"GLOG_log_prefix": "TRUE"}, {"log_prefix": True}, ""),
        ({"GLOG_log_prefix": ""}, {"log_prefix": True}, ""),
        ({"GLOG_log_prefix": "on"}, {"log_prefix": False}, "GLOG_log_prefix=on: the value must be true or false"),
        ({"GLOG_log_dir": "a", "GOOGLE_LOG_DIR": "b"}, {"log_dir": "a"}, ""),
        ({"GOOGLE_LOG_DIR": "b"}, {"log_dir": "b"}, ""),
        ({"GOOGLE_LOGTOSTDERR": "1"}, {"logtostderr": True}, ""),
        ({"GOOGLE_MINLOGLEVEL": "1"}, {"minloglevel": 0}, ""),
        ({"GLOG_logfile_mode": "384"}, {"logfile_mode": 384}, ""),
        ({"GLOG_bogus": "1"}, {"alsologtostderr": False}, ""),
    ],
)
def test_variables(variables, found, complaint, monkeypatch):
    values, complaints = _log_flags.from_environment(variables)
    assert {name: values[name] for name in found} == found
    assert len(complaints) == bool(complaint) and complaint in "".join(complaints)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # They are the command line's defaults, apart from the one that Caffe sets itself.
    flags = vars(parse("--v=1"))
    assert {name: flags[name] for name in found} == found | (
        {"alsologtostderr": True} if "GLOG_bogus" in variables else {}
    )


class TestHelp:
    def told(self, capsys, *arguments):
        assert upgrade_proto.upgrade_net_proto_text(arguments) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out, set(re.findall(r"^  --(\w+)", out, re.M))

    def test_which_flags(self, capsys):
        every = self.told(capsys, "--help")[1]
        assert {"log_dir", "minloglevel", "flagfile", "undefok", "version"} < every
        assert self.told(capsys, "--helpfull", "a")[1] == self.told(capsys, "--bogus", "--help")[1] == every
        assert self.told(capsys, "--helpshort")[1] == self.told(capsys, "--helppackage")[1] == set()
        assert (
            self.told(capsys, "--helpon=logging")[1]
            == self.told(capsys, "--helpmatch", "ogg")[1]
            == set(_log_flags.LOG_FLAGS)
        )
        out, flags = self.told(capsys, "--helpon=zzz")
        assert not flags and "No module matches. The modules are: upgrade_net_proto_text, logging, gflags." in out

    def test_version(self, capsys):
        assert self.told(capsys, "--version")[0].startswith("upgrade_net_proto_text version ")

    def test_xml(self, capsys):
        from xml.etree import ElementTree

        root = ElementTree.fromstring(self.told(capsys, "--helpxml")[0])
        flags = {
            flag.find("name").text: (flag.find("type").text, flag.find("default").text) for flag in root.iter("flag")
        }
        assert flags["minloglevel"] == ("int32", "0") and flags["log_prefix"] == ("bool", "true")
        assert root.find("program").text == "upgrade_net_proto_text"

    def test_completion_of_a_word(self, capsys):
        out, flags = self.told(capsys, "--tab_completion_word=--log_", "--tab_completion_columns=40")
        names = [line.split()[0] for line in out.splitlines()]
        assert sorted(names) == ["--log_backtrace_at", "--log_dir", "--log_link", "--log_prefix"]
        assert all(len(line) <= 40 for line in out.splitlines())


def test_a_tool_logs_to_files_and_warns_of_what_it_ignores(tmp_path, capsys):
    (tmp_path / "old").write_text("base_lr: 1")
    (tmp_path / "one").write_text("upgrade_*\n--log_dir=logs\n--bogus=1\n")
    (tmp_path / "logs").mkdir()
    assert upgrade_proto.upgrade_solver_proto_text(["--flagfile=one", "--log_link=nowhere", "old", "new"]) == 0
    folder = Path("logs")
    links = sorted(path.name for path in folder.iterdir() if path.is_symlink())
    assert links == [f"upgrade_solver_proto_text.{level}" for level in ("ERROR", "INFO", "WARNING")]
    _, _, _, *lines = (folder / links[1]).read_text().splitlines()
    assert [line[0] for line in lines] == ["W", "W", "E", "I"]
    assert lines[0].endswith("] one:3: '--bogus=1' is ignored: there is no such flag.")
    assert lines[1].endswith("] --log_link=nowhere: no such folder; no link is made there.")
    assert capsys.readouterr().err.splitlines() == lines
    # The next command in this process has no files.
    assert upgrade_proto.upgrade_solver_proto_text(["old", "new"]) == 0
    assert (folder / links[1]).read_text().splitlines()[3:] == lines
