"""Worker processes that train together, forked from one that has already loaded PyTorch, which saves seconds.

Run as a program, it reads lines of JSON on its standard input and forks the requested workers.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 100


class Workers:
    """Processes of ``caffe`` and their logs; a worker is addressed by its rank."""

    def __init__(self, forker: "Forker", pids: list[int], logs: list[Path]):
        self._forker, self.pids, self._logs = forker, pids, logs

    def log(self, rank: int) -> str:
        return self._logs[rank].read_text()

    def wait_for(self, rank: int, text: str) -> None:
        """Wait until a worker has logged a text."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.log(rank):
            assert time.monotonic() < until, self.log(rank)
            time.sleep(0.02)

    def signal(self, rank: int, number: int) -> None:
        os.kill(self.pids[rank], number)

    def wait_for_end(self, rank: int) -> None:
        """Wait until a worker has ended by itself."""
        until = time.monotonic() + PATIENCE_S / 2
        while Path(f"/proc/{self.pids[rank]}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < until, self.log(rank)
            time.sleep(0.02)

    def end(self) -> list[int]:
        """Wait for all; returns their exit statuses, -n where signal n ended one."""
        return self._forker.ask({"wait": self.pids})


class Forker:
    """The process that forks workers."""

    def __init__(self, environment: dict[str, str]):
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request: dict) -> list[int]:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, folder: Path | list[Path], *commands: list[str], **variables: str) -> Workers:
        """Start a worker for each command line in a folder, or each in its own, as torchrun would.

        Args:
            variables: further environment variables. WORLD_SIZE defaults to the number of command lines.
        """
        folders = folder if isinstance(folder, list) else [folder] * len(commands)
        logs = [place / f"worker{rank}.log" for rank, place in enumerate(folders)]
        for log in logs:
            log.write_bytes(b"")
        places = [
            {"WORLD_SIZE": str(len(commands)), "RANK": str(rank), "LOCAL_RANK": str(rank), **variables}
            for rank in range(len(commands))
        ]
        jobs = [
            {"folder": str(place), "arguments": command, "environment": environment, "log": str(log)}
            for place, command, environment, log in zip(folders, commands, places, logs, strict=True)
        ]
        return Workers(self, self.ask({"start": jobs}), logs)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _become(job: dict) -> None:
    from caffe.__main__ import main

    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(job["folder"])
    os.environ.update(job["environment"])
    signal.alarm(PATIENCE_S)  # so that a test that fails hangs nothing
    status = main(job["arguments"])
    sys.stderr.flush()
    os._exit(status)


def _serve() -> None:
    import torch
    from caffe._solver import get_solver  # noqa: F401
    from caffe._workers import rendezvous  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        answer = []
        for job in request.get("start", ()):
            pid = os.fork()
            if not pid:
                _become(job)
            answer.append(pid)
        for pid in request.get("wait", ()):
            answer.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
