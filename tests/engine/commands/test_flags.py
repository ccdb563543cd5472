"""The caffe command's line: its flags, its help, a shell's completion, and how it fails."""

import re
import shutil
import subprocess
import sys

import pytest
from caffe import __main__ as command
from caffe import __version__
from caffe._commands import command_line
from caffe._commands import flags as _flags

from tests.engine.command import environment


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("train --solver=a -snapshot b", {"command": "train", "solver": "a", "snapshot": "b", "iterations": 50}),
        ("-model a -iterations 7 test -gpu=0,1", {"command": "test", "model": "a", "iterations": 7, "gpu": "0,1"}),
        ("time --phase TEST --stage=x,y --logtostderr", {"phase": "TEST", "stages": ["x", "y"], "level": 0}),
        ("train --allow_python_layers --sigint_effect none", {"allow_python_layers": True, "sigint_effect": "none"}),
        ("draw --rankdir TB a.prototxt --display_lrm a.png", {"places": ["a.prototxt", "a.png"], "display_lrm": True}),
        ("train --model=a", {"command": "train", "model": "a"}),  # another command's flag, as in Caffe
    ],
)
def test_parse(line, found):
    flags = _flags.parse(line.split())
    assert {name: getattr(flags, name) for name in found} == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian", "unknown command 'trian'; did you mean train?"),
        ("--gpu=0", "no command is given"),
        ("train --iteration 5", "unknown command line flag 'iteration'; did you mean iterations?"),
        ("train --iterations many", "illegal value 'many'"),
        ("train solver.prototxt", "caffe train takes flags alone; given: solver.prototxt"),
        ("summary", "caffe summary takes NET; given: nothing"),
        ("draw a", "caffe draw takes NET PICTURE; given: a"),
        ("time --phase=TRIAN", "--phase=TRIAN: must be one of TRAIN, TEST, ALL"),
        ("train --sighup_effect=go", "--sighup_effect=go: must be one of snapshot, stop, none"),
        ("train --solver", "flag '--solver' is missing its value"),
    ],
)
def test_what_does_not_fit(line, message, capsys):
    with pytest.raises(command_line.UsageError, match=re.escape(message)):
        _flags.parse(line.split())
    assert command.main(line.split()) == 1
    error, usage = capsys.readouterr().err.splitlines()
    assert error.startswith(f"ERROR: {message}") and usage == "usage: caffe <command> <args>, and --help says more"


@pytest.mark.parametrize("line", ["test --model=a --weights=b", "time --model=a"])
@pytest.mark.parametrize("number", [0, -3])
def test_no_iterations(line, number, log_lines):
    assert command.main([*line.split(), f"--iterations={number}"]) == 1
    assert log_lines[-1] == f"--iterations={number}: give 1 or more."


def test_help(capsys):
    assert command.main([]) == 1
    usage = capsys.readouterr().err
    assert command.main(["--help"]) == 0
    assert capsys.readouterr().out == usage
    assert all(f"\n  {name} " in usage for name in command.COMMANDS)
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"caffe version {__version__}\n"


@pytest.mark.parametrize("name", _flags.COMMANDS)
def test_each_commands_help_has_its_flags_alone(name, capsys):
    assert command.main([name, "--helpshort"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"usage: caffe {name} ") and not told.err
    listed = set(re.findall(r"^  --(\w+)", told.out, re.M))
    assert listed == {flag for flag, of in _flags.FLAGS.items() if name in of.commands}
    assert ("solver" in listed) == (name == "train") and ("rankdir" in listed) == (name == "draw")


def test_the_commands_are_those_of_the_help():
    assert list(_flags.COMMANDS) == list(command.COMMANDS)


COMPLETED = [
    ("tr", {"train"}),
    ("", set(_flags.COMMANDS)),
    ("--v", {"--version"}),
    ("--gpu = 0 t", {"train", "test", "time"}),
    ("train --so", {"--solver="}),
    ("train -si", {"--sigint_effect=", "--sighup_effect="}),
    ("--solver = x train --gp", {"--gpu="}),
    ("train --rank", set()),
    ("time --phase = TE", {"TEST"}),
    ("train --sigint_effect sn", {"snapshot"}),
    ("train --solver = nin", {"nin1.prototxt"}),
    ("summary nin", {"nin1.prototxt"}),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_completion(tmp_path, capsys):
    assert command.main(["--completion", "bash"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "nin1.prototxt").touch()
    for line, words in COMPLETED:
        given = " ".join(f"'{word}'" for word in ["caffe", *line.split(" ")])
        asked = f"compopt() {{ :; }}\nCOMP_WORDS=({given}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _caffe; "
        asked += 'printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], cwd=tmp_path, capture_output=True, text=True)
        assert (set(done.stdout.split()), done.stderr) == (words, ""), line
    assert command.main(["--completion=zsh"]) == 0
    assert "bashcompinit" in capsys.readouterr().out
    assert command.main(["--completion=fish"]) == 1
    assert "--completion=fish: for bash or zsh" in capsys.readouterr().err


class TestErrors:
    """One line each; a traceback only when it is asked for."""

    @pytest.fixture
    def failing(self, monkeypatch):
        def fail_with(error):
            def fail(flags):
                raise error

            monkeypatch.setitem(command.COMMANDS, "time", fail)

        return fail_with

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (
                ZeroDivisionError("by\nnought"),
                r"ZeroDivisionError in test_flags\.py:\d+: by nought\. With --traceback \(",
            ),
            (FileNotFoundError(2, "No such file", "a.txt"), r"a\.txt: No such file$"),
            (MemoryError("9 GB"), r"Out of memory; a smaller batch_size needs less\. \(9 GB\)$"),
            (RuntimeError("CUDA out of memory. Tried to"), r"Out of memory; a smaller batch_size"),
        ],
    )
    def test_one_line(self, failing, error, message, capsys, monkeypatch):
        monkeypatch.delenv("CAFFE_TRACEBACK", raising=False)
        failing(error)
        assert command.main(["time"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("F") and re.search(rf"\] {message}", line)

    def test_a_traceback_when_asked_for(self, failing, capsys, monkeypatch):
        failing(ZeroDivisionError("by nought"))
        for line, variable in ((["time", "--traceback"], ""), (["time", "-traceback"], ""), (["time"], "1")):
            monkeypatch.setenv("CAFFE_TRACEBACK", variable)
            assert command.main(line) == 1
            first, *_, last = capsys.readouterr().err.splitlines()
            assert first == "Traceback (most recent call last):" and "ZeroDivisionError in" in last

    def test_ctrl_c(self, failing, capsys):
        failing(KeyboardInterrupt())
        assert command.main(["time"]) == 130
        assert capsys.readouterr().err == ""

    def test_a_reader_that_has_gone(self):
        program = f"{sys.executable} -m caffe --help | true"
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {program}"], env=environment(), capture_output=True)
        assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
