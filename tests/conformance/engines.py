"""The same door to every engine: the `caffe` command and a Python that has caffe, each in its own process.

Both engines see one workspace folder under the same relative names. Real Caffe runs in a chroot
(tests/reference/install.sh). When it is installed, a workspace lies inside that chroot.
Our engine reaches it from outside. Nothing is mounted or copied.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE_ROOT = REPOSITORY / "tests" / "reference" / "root"
# The folder inside the chroot that holds workspaces: /work there.
SHARED = "work"


class EngineError(RuntimeError):
    """An engine's command ended with another exit status than 0. Holds the command and the end of its log."""


class Engine:
    """One Caffe behind the door. `caffe` and `python` run one process each, with `cwd` inside a workspace.

    Attributes:
        device: flags of `caffe train` that choose where it computes; the CPU without them. Scripts find the same
            in the environment (CONFORMANCE_GPU).
        patience: seconds that a command may take.
    """

    name: str
    device: Sequence[str] = ()
    patience = 300.0

    def command(self, cwd: Path) -> list[str]:
        """The start of a command line: the `caffe` command, run in `cwd`."""
        raise NotImplementedError

    def interpreter(self, cwd: Path) -> list[str]:
        """The start of a command line: the engine's Python, run in `cwd`."""
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        raise NotImplementedError

    def run(self, command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run to the end, with standard output and standard error in one text (`.stdout`)."""
        # One thread: these nets are tiny, and the order of a sum then never depends on the machine's cores.
        environment = self._environment() | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command,
            check=False,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=self.patience,
        )

    def checked(self, command: Sequence[str], cwd: Path) -> str:
        """`run`, but only the text, and EngineError where the exit status is not 0."""
        done = self.run(command, cwd)
        if done.returncode:
            raise EngineError(f"{self.name}: {' '.join(command)}\nexit status {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout

    def caffe(self, args: Sequence[str], cwd: Path) -> str:
        """`caffe ARGS` in `cwd`; its log. Raises EngineError when it fails."""
        return self.checked([*self.command(cwd), *args], cwd)

    def python(self, script: Path, args: Sequence[str], cwd: Path) -> str:
        """Run a script, copied into `cwd`, that imports nothing but caffe and what comes with it; its output."""
        shutil.copyfile(script, cwd / script.name)
        return self.checked([*self.interpreter(cwd), script.name, *args], cwd)


class OurCaffe(Engine):
    """engine/caffe, run by the Python that runs the tests."""

    name = "ours"

    def command(self, cwd: Path) -> list[str]:
        return [sys.executable, "-m", "caffe"]

    def interpreter(self, cwd: Path) -> list[str]:
        return [sys.executable]

    def _environment(self) -> dict[str, str]:
        # Importing ensemble, as its tests do in this process, turns the log's INFO lines off.
        rest = {name: value for name, value in os.environ.items() if name != "GLOG_minloglevel"}
        paths = [str(REPOSITORY / "engine"), os.environ.get("PYTHONPATH")]
        return rest | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


class OursOnGPU(OurCaffe):
    """Ours, computing on a GPU (on the CPU, with a warning in its log, where there is none)."""

    name = "ours on a GPU"
    patience = 1200.0  # cuDNN tries its algorithms for every shape of every case

    def __init__(self, gpu: int) -> None:
        self._gpu = gpu
        self.device = ("-gpu", str(gpu))

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"CONFORMANCE_GPU": str(self._gpu)}


class RealCaffe(Engine):
    """BVLC Caffe 1.0 in the chroot that tests/reference/install.sh makes. Entering it needs root."""

    name = "real"

    def __init__(self, root: Path = REFERENCE_ROOT) -> None:
        self.root = root

    def why_not(self) -> str | None:
        """None when it can be run here, otherwise one line that says why not and what to do."""
        if not self.root.is_dir():
            return "not installed (make reference-caffe)"
        if os.geteuid() != 0:
            return f"installed in {self.root.relative_to(REPOSITORY)}, but chroot needs root"
        return None

    def version(self) -> str:
        return self.checked([*self._chroot(self.root), "caffe", "--version"], self.root).split()[-1]

    def _chroot(self, cwd: Path) -> list[str]:
        inside = Path("/") / cwd.resolve().relative_to(self.root.resolve())
        return ["chroot", str(self.root), "env", "-C", str(inside)]

    def command(self, cwd: Path) -> list[str]:
        return [*self._chroot(cwd), "caffe"]

    def interpreter(self, cwd: Path) -> list[str]:
        return [*self._chroot(cwd), "python3"]

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


OURS = OurCaffe()
REAL = RealCaffe()


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A new folder that every engine here sees; removed afterwards (CONFORMANCE_KEEP=1 leaves it)."""
    parent = None
    if REAL.why_not() is None:
        parent = REAL.root / SHARED
        parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="conformance-", dir=parent))
    try:
        yield folder
    finally:
        if os.environ.get("CONFORMANCE_KEEP"):
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
