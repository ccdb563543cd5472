"""The live line: its content over time and its width. A watched training equals one that is not watched."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.training.test_curves import begin, score, shown, with_workers
from tests.training.tiny_run import edit
from training.curves import Curves
from training.live_line import LiveLine
from training.terminal import Terminal, duration, is_terminal
from training.training_set import TrainingSet

IMAGES = TrainingSet(50, 1000)


class Screen(Terminal):
    """A terminal of a given width that records messages and drawings."""

    def __init__(self, columns=200):
        super().__init__(fd=-1)
        self.said, self.drawn, self._columns = [], "", columns

    columns = property(lambda self: self._columns)

    def say(self, text, color=""):
        self.said.append(text)

    def draw(self, parts):
        self.drawn = "  ".join(f"{label} {value}" if label else value for label, value in parts)


class Training:
    """A live line with a log fed to it, on a clock that is set."""

    def __init__(self, columns=200, images=IMAGES):
        self.now, self.screen, self.curves = 100.0, Screen(columns), Curves(2026)
        self.live = LiveLine(self.screen, "nin1", 400, images, lambda: self.now)

    def feed(self, text, seconds=0.0):
        for line in text.splitlines():
            self.live.line(line, self.curves.add(line), self.curves)
        self.now += seconds
        self.live.tick(self.curves)
        return self.screen.drawn


def test_from_the_start_to_a_test_and_on():
    training = Training()
    assert training.feed("", 7) == "starting 0:07"
    assert training.feed(begin()) == "nin1"
    training.feed(shown(0, 5.3, 0.01), 30)
    line = training.feed(shown(20, 5.2512, 0.01))
    assert line == "nin1  epoch 1.00/20  iteration 20/400  15 images/s  loss 5.251  lr 0.01  9:30 left"
    assert training.screen.said == [], "Caffe's own lines are the log's"
    training.now += 10
    first, *rest = score(25, 0.25, 3.5).splitlines(True)
    assert training.feed(first, 4) == (
        "testing 0:04  epoch 1.25/20  iteration 25/400  15 images/s  loss 5.251  lr 0.01  9:16 left"
    )
    training.feed("".join(rest))
    assert training.screen.said == []
    assert training.feed("", 1).startswith("nin1  epoch 1.25/20  iteration 25/400  ")
    assert training.screen.said == [
        "iteration 25  epoch 1.25  train: loss 5.251  lr 0.01  val: accuracy 0.25  loss 3.5"
    ]
    training.feed(score(30, 0.375, 3.25))
    slow = shown(40, 5, 0.001).replace("0.30 iter/s", "0.01 iter/s")
    assert "15 images/s  loss 5  lr 0.001  val accuracy 0.375" in training.feed(slow), "a test is no slowness"
    assert "accuracy 0.375 (best)" in training.screen.said[-1]


def test_epochs_and_speed_are_those_of_all_workers():
    training = Training()
    log = with_workers(3) + shown(0, 5.3, 0.01) + score(20, 0.25, 3.5) + shown(20, 5.25, 0.01)
    assert training.feed(log).startswith("nin1  epoch 3.00/60  iteration 20/400  45 images/s  ")
    assert training.screen.said[0].startswith("iteration 20  epoch 3  ")


def test_what_stays_above():
    training = Training()
    warning = "W1231 23:59:50.000000  4711 _device/device.py:30] No CUDA device is available"
    training.feed(f"{begin()}\n{warning}\n{warning.replace('4711', '4712')}\nTraceback (most recent call last):\n")
    place = "I1231 23:59:50.000000  4711 solver.cpp:1]"
    training.feed(
        f"{place} Snapshotting to binary proto file a_iter_3.caffemodel\n"
        f"{place} Snapshotting solver state to binary proto file a_iter_3.solverstate\n"
    )
    said = ["Traceback (most recent call last):", "snapshot a_iter_3.solverstate"]
    assert training.screen.said == ["warning: No CUDA device is available", *said], "in plain words, once"


def test_a_stop_is_shown_until_the_end():
    training = Training()
    training.feed(begin() + shown(0, 5.3, 0.01))
    training.live.stopping()
    assert training.feed(shown(20, 5, 0.01), 3).startswith("stopping 0:03  epoch 1.00/20")
    training.feed(score(20, 0.5, 1))
    training.live.close(training.curves)
    assert training.screen.said[-1].startswith("iteration 20  epoch 1  train: loss 5")


def test_silence_gets_a_word():
    training = Training()
    training.feed(begin() + shown(0, 5.3, 0.01), 20)
    assert training.feed(shown(20, 5, 0.01), 89).startswith("nin1  epoch"), "three times the usual is not long"
    assert training.feed("", 2).startswith("nin1 silent for 1:31  epoch")


def test_without_known_images():
    training = Training(images=None)
    training.feed(begin() + shown(0, 5.3, 0.01), 20)
    assert training.feed(shown(20, 5, 0.01)) == "nin1  iteration 20/400  0.3 iterations/s  loss 5  lr 0.01  6:20 left"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (110, "nin1  epoch 1.00/20  iteration 20/400  15 images/s  loss 5.251  lr 0.01  val accuracy 0.25  9:30 left"),
        (80, "nin1  ep 1  it 20  15 img/s  loss 5.251  lr 0.01  val 0.25  9:30 left"),
        (70, "ep 1  it 20  15 img/s  loss 5.251  lr 0.01  val 0.25  9:30 left"),
        (60, "it 20  loss 5.251  lr 0.01  val 0.25  9:30 left"),
        (30, "it 20  loss 5.251"),
        (3, "it 20"),
    ],
)
def test_it_fits(columns, line):
    training = Training(columns)
    training.feed(begin() + shown(0, 5.3, 0.01) + score(0, 0.25, 3), 30)
    drawn = training.feed(shown(20, 5.2512, 0.01))
    assert drawn == line


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0:00"), (65, "1:05"), (3725.9, "1:02:05"), (86400 * 2 + 60, "2 d 0:01:00")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def terminal_of(columns=40):
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    subprocess.run(["stty", "cols", str(columns)], stdin=slave, check=True)
    return master, slave


def read(master) -> str:
    return os.read(master, 1 << 16).decode().replace("\r\n", "\n") if select.select([master], [], [], 1)[0] else ""


def test_drawing_over(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    master, slave = terminal_of()
    terminal = Terminal(slave)
    terminal.draw([("loss", "5.3"), ("", "0:05 left")])
    assert read(master) == "\r\033[J\033[2mloss\033[0m 5.3  0:05 left"
    terminal.say("kept", "\033[31m")
    assert read(master) == "\r\033[J\033[31mkept\033[0m\n"
    terminal.draw([("", "x" * 50)])
    assert read(master) == "\r\033[J" + "x" * 35
    subprocess.run(["stty", "cols", "10"], stdin=slave, check=True)  # 35 characters are four rows now
    terminal.clear()
    assert read(master) == "\r\033[3A\033[J"
    monkeypatch.setenv("NO_COLOR", "1")
    Terminal(slave).say("plain", "\033[31m")
    assert read(master) == "\r\033[Jplain\n"
    os.close(master)
    Terminal(slave).say("nobody there")
    os.close(slave)


def test_what_a_terminal_is(monkeypatch, tmp_path):
    master, slave = terminal_of()
    monkeypatch.setenv("TERM", "xterm")
    assert is_terminal(slave)
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(slave)
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "file").open("w") as file:
        assert not is_terminal(file.fileno())
    os.close(master), os.close(slave)


def watched(verb, asks=()) -> tuple[int, str]:
    """Run the runner with its standard error on a terminal of 100 columns; return its status and its output.

    Args:
        asks: (text, signal, seconds): the runner's group gets the signal so many seconds after the text appears.
    """
    master, slave = terminal_of(100)
    command = [sys.executable, "-m", "training.run", verb, "tiny", "--caffe", "./caffe"]
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    runner = subprocess.Popen(command, stderr=slave, start_new_session=True, env=environment)
    os.close(slave)
    text, deadline, asked = "", time.monotonic() + 60, 0
    while time.monotonic() < deadline:
        try:
            text += read(master)
        except OSError:  # the other end is closed
            break
        if asked < len(asks) and asks[asked][0] in text:
            time.sleep(asks[asked][2])
            os.killpg(runner.pid, asks[asked][1])
            asked += 1
    os.close(master)
    if runner.poll() is None and time.monotonic() > deadline:
        runner.kill()
        pytest.fail(f"the runner goes on and on: {text[-500:]}")
    return runner.wait(60), text


def test_a_run_on_a_terminal(place):
    edit("100000", "100")
    status, text = watched("train")
    assert status == 0
    assert "I1123" not in text and "\033[2m" not in text
    assert "\033[Jtiny  it" in text and "  lr 0.01" in text
    assert "\033[Jiteration 100  train: loss 0.1  lr 0.01  val: accuracy 0.25\n" in text
    assert "\033[Jinterrupts: 0\n" in text, "what is not Caffe's log is shown"
    last_two = [line.rpartition("\033[J")[2] for line in text.rstrip("\n").split("\n")[-2:]]
    assert last_two[0].startswith("training.run: caffe ended; the newest snapshot is runs/tiny/tiny_iter_100")
    assert last_two[1].startswith("training.run: to go on, raise max_iter, then: "), "over a ^C and the live line"
    assert (place / "runs/tiny/train.log").read_text().count("loss = 0.1\n") == 1


def test_ctrl_c_twice_ends_a_caffe_that_does_not_listen(place):
    caffe = place / "caffe"
    caffe.write_text(caffe.read_text().replace("not interrupts", "True"))
    status, text = watched("train", [("  lr 0.01", signal.SIGINT, 0), ("Ctrl-C again ends", signal.SIGINT, 0.3)])
    assert status == 128 + signal.SIGTERM
    assert "ending Caffe at once\n" in text and "caffe was ended at once, without a snapshot" in text


def test_one_request_that_comes_twice_is_one(place):
    status, text = watched("train", [("  lr 0.01", signal.SIGTERM, 0), ("", signal.SIGTERM, 0)])
    assert status == 0
    assert "interrupts: 1\n" in text and "ending Caffe at once" not in text
