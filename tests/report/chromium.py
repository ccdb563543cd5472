"""A real browser for tests: headless Chromium, driven over a pipe with the DevTools protocol.

The pipe (Chromium's --remote-debugging-pipe) takes JSON messages that end with a NUL.
So only the browser itself has to be installed: Debian's package `chromium`.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium reads commands from file descriptor 3 and answers at 4.
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe")  # fmt: skip


def installed() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab. `said` and `requests` collect the page's messages and requests during its life."""

    def __init__(self, into: int, out: int):
        self.said: list[str] = []  # console messages, exceptions, and what the browser logs of the page
        self.requests: list[str] = []  # addresses, data: URIs not among them
        self._into, self._out, self._rest, self._number = into, out, b"", 0
        self._session = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, file: Path, width: int, height: int = 900, dark: bool = False) -> None:
        """Show a file in a window of this size (CSS pixels), and wait until it is loaded."""
        self.said.clear()
        self.requests.clear()
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Page.navigate", url=file.resolve().as_uri())
        for _ in range(200):
            if self.evaluate("document.readyState === 'complete' && location.protocol === 'file:'"):
                return
            time.sleep(0.05)
        raise TimeoutError(f"{file} did not load")

    def evaluate(self, script: str):
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def screenshot(self, file: Path, whole: bool = True, clip: dict | None = None) -> None:
        """A PNG of the window, or of the whole page."""
        more = {"clip": {**clip, "scale": 1}} if clip else {}
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **more)
        file.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._heard(answer.get("method"), answer.get("params", {}))

    def _heard(self, method: str | None, params: dict) -> None:
        if method == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(one.get("value")) for one in params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.said.append(params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])

    def _read(self) -> dict:
        while b"\0" not in self._rest:
            more = os.read(self._out, 1 << 20)
            if not more:
                raise EOFError("Chromium ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def page() -> Iterator[Page]:
    """A tab of a new browser, which ends with the block."""
    (theirs_in, into), (out, theirs_out) = os.pipe(), os.pipe()
    # The descriptors move to higher numbers, because one of them may be 3 or 4.
    passed = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
    os.close(theirs_in), os.close(theirs_out)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [sys.executable, "-c", _LAUNCH, *map(str, passed), installed(), *_FLAGS, f"--user-data-dir={profile}"]
        browser = subprocess.Popen(command, pass_fds=passed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, process_group=0)  # fmt: skip
        for end in passed:
            os.close(end)
        try:
            yield Page(into, out)
        finally:
            os.close(into), os.close(out)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, 15)
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(browser.pid, 9)
                browser.wait()
