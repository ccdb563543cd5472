"""Reads damaged files in a child process. A crash or a hang is counted as one, and a new child continues.

python -m tests.hostile.trial FOLDER      (the child: a line in, a line out)
"""

import json
import os
import queue
import resource
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from .damage import KINDS, Damage

ROOT = Path(__file__).parents[2]
MEMORY = 8 << 30  # bytes of address space a reader may take; PyTorch alone maps three
# A reader hangs after so many seconds of CPU time, or, if it only waits, of the clock.
# The clock's limit is longer, because the machine may do other things too.
WORK, WAIT = 60.0, 600.0

SURVIVED = ("refused", "unharmed", "unknowable")
"""The outcomes: a documented exception that names the file, the same result, or undetectably different values."""

_NOT_READ_WHOLE = 7


class Outcome(NamedTuple):
    """The outcome of reading one damaged file."""

    verdict: str  #: one of SURVIVED, or how it failed: unnamed, undocumented, silent, crash, hang
    damage: str
    detail: str


class Reader:
    """A child process that damages and reads files in its own folder; if it dies, another replaces it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._start()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _start(self) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "engine")]),
            "OMP_NUM_THREADS": "1",
            "GLOG_minloglevel": "3",
            # If Python cannot catch a crash, this at least shows the line.
            "PYTHONFAULTHANDLER": "1",
        }
        self._stderr = open(self.folder / "stderr", "w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.trial", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_pour, args=(self._process.stdout, self._lines), daemon=True).start()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._stderr.close()

    def read(self, artifact: str, kind: str, number: int) -> Outcome:
        """Damage a whole file in one of the ways of ``damage.KINDS`` and read it."""
        damage = f"{kind} {number}"
        try:
            print(json.dumps([artifact, kind, number]), file=self._process.stdin, flush=True)
            answer = self._answer()
        except BrokenPipeError:
            answer = ""
        except queue.Empty:
            self._again()
            return Outcome("hang", damage, f"no answer after {WORK:g} seconds of work or {WAIT:g} of waiting")
        if answer:
            return Outcome(*json.loads(answer))
        status = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read()[-2000:]
        if status == _NOT_READ_WHOLE:
            raise AssertionError(f"{artifact}: the whole file is not read\n{last}")
        self._again()
        return Outcome("crash", damage, f"exit status {status}: {last}")

    def _answer(self) -> str:
        """A line of the child; raises queue.Empty where it hangs."""
        begun, worked = time.monotonic(), self._work()
        while True:
            try:
                return self._lines.get(timeout=1)
            except queue.Empty:
                if self._work() - worked > WORK or time.monotonic() - begun > WAIT:
                    raise

    def _work(self) -> float:
        """Seconds of processor time that the child has taken."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def _again(self) -> None:
        self._end()
        self._start()


def _pour(stream, lines: queue.Queue) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put("")  # it is at its end


# ---- the child -----------------------------------------------------------------------------------


class _Subject:
    """An artifact in its folder: its whole content, and what is read of it."""

    def __init__(self, name: str, folder: Path):
        from .artifacts import ARTIFACTS

        self.artifact = ARTIFACTS[name]
        self.home = folder / name.replace(" ", "_")
        self.home.mkdir(exist_ok=True)
        os.chdir(self.home)
        self.path = self.artifact.make(self.home)
        kept = self.home / "whole"
        # A child after a crash finds a damaged file; the whole one was kept.
        if kept.exists():
            self.path.write_bytes(kept.read_bytes())
        else:
            kept.write_bytes(self.path.read_bytes())
        self.content = kept.read_bytes()
        self.expected = self.artifact.read(self.path)

    def read(self, damage: Damage) -> Outcome:
        os.chdir(self.home)
        self.path.write_bytes(damage.apply(self.content))
        try:
            found = self.artifact.read(self.path)
        except self.artifact.errors as error:
            named = any(name in str(error) for name in (self.path.name, *self.artifact.names))
            verdict, detail = ("refused" if named else "unnamed"), f"{type(error).__name__}: {error}"
        except Exception as error:
            verdict, detail = "undocumented", f"{type(error).__name__}: {error}"
        else:
            same = found == self.expected
            verdict = "unharmed" if same else "unknowable" if found[0] == self.expected[0] else "silent"
            detail = ""
        return Outcome(verdict, str(damage), detail[:500])


def main(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    subjects: dict[str, _Subject] = {}
    for line in sys.stdin:
        name, kind, number = json.loads(line)
        if name not in subjects:
            try:
                subjects[name] = _Subject(name, folder)
            except Exception:
                traceback.print_exc()
                sys.exit(_NOT_READ_WHOLE)
        subject = subjects[name]
        print(json.dumps(subject.read(KINDS[kind](subject.content, number))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
