"""`make data`: what is there, what TINY_IMAGENET names, or a download that resumes and is verified."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from data_prep import dataset
from data_prep.download import download
from harness.errors import UserError
from tests.data_prep.small_tiny_imagenet import files, write_zip

CONTENT = np.random.default_rng(0).bytes(700_001)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``content`` and may ignore Range; the first answers are cut after the sizes in ``cuts``."""

    content = CONTENT
    ranges = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts: list[int] = []
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path != "/set.zip":
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.server.ranges else 0
        body = self.server.content[start:]
        if wanted and self.server.ranges:
            if not body:
                self.send_error(416)
                return
            self.send_response(206)
            size = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cuts.pop(0)] if self.server.cuts else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "TINY_IMAGENET"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_download(server, tmp_path):
    download(server.url, tmp_path / "data" / "set.zip", MD5)
    assert (tmp_path / "data" / "set.zip").read_bytes() == CONTENT
    assert names(tmp_path / "data") == ["set.zip"] and server.asked == [None]


def test_cut_connections_are_taken_up_where_they_broke(server, tmp_path):
    server.cuts = [300_000, 200_000]
    download(server.url, tmp_path / "set.zip", MD5, wait_s=0)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_run_resumes(server, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(CONTENT[:123_456])
    download(server.url, tmp_path / "set.zip", MD5)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT
    assert server.asked == ["bytes=123456-"] and names(tmp_path) == ["set.zip"]


def test_a_whole_part_only_gets_its_name(server, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "set.zip", MD5)
    assert names(tmp_path) == ["set.zip"]


def test_a_server_without_range_starts_over(server, tmp_path):
    server.ranges = False
    (tmp_path / "set.zip.part").write_bytes(b"x" * 800_000)
    download(server.url, tmp_path / "set.zip", MD5)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_wrong_md5_keeps_nothing(server, tmp_path):
    with pytest.raises(UserError, match=f"md5 {MD5} instead of {'0' * 32}"):
        download(server.url, tmp_path / "set.zip", "0" * 32)
    assert names(tmp_path) == []


def test_a_connection_that_stays_broken_keeps_what_came(server, tmp_path):
    server.cuts = [1000] + [0] * 20
    with pytest.raises(UserError, match=r"the connection broke .*cut after 1000 of 700001.* 1000 bytes are kept"):
        download(server.url, tmp_path / "set.zip", MD5, wait_s=0)
    assert names(tmp_path) == ["set.zip.part"]


def test_no_server_and_no_such_file(server, tmp_path):
    with pytest.raises(UserError, match="the server says 404 .*TINY_IMAGENET"):
        download(server.url + "x", tmp_path / "set.zip", MD5)
    with pytest.raises(UserError, match="no network"):
        download("http://127.0.0.1:9/set.zip", tmp_path / "set.zip", MD5, wait_s=0)
    assert names(tmp_path) == []


def test_a_server_that_sends_without_end(server, tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.download.MAX_BYTES", 400_000)
    with pytest.raises(UserError, match="more than 400000 bytes"):
        download(server.url, tmp_path / "set.zip", MD5)
    assert "set.zip" not in names(tmp_path)


def test_fetch_prefers_what_is_named_then_what_is_there(server, tmp_path, monkeypatch):
    target = tmp_path / "set.zip"
    assert dataset.fetch(target, server.url, MD5) == target and len(server.asked) == 1
    assert dataset.fetch(target, server.url, MD5) == target and len(server.asked) == 1
    target.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="its md5 is not the official zip's"):
        dataset.fetch(target, server.url, MD5)
    monkeypatch.setenv("TINY_IMAGENET", str(tmp_path / "mine"))
    with pytest.raises(UserError, match="TINY_IMAGENET names it"):
        dataset.fetch(target, server.url, MD5)
    (tmp_path / "mine").mkdir()
    assert dataset.fetch(target, server.url, MD5) == dataset.find(target) == tmp_path / "mine"


def test_the_command_checks_what_is_named(tmp_path, monkeypatch, capsys):
    path = write_zip(tmp_path / "mine.zip", files())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINY_IMAGENET", str(path))
    assert dataset.main([]) == 0
    told = capsys.readouterr()
    assert told.out == f"{path}\n" and "200 classes, 600 train, 230 val, 17 test images" in told.err
    path.write_bytes(path.read_bytes()[:1000])
    assert dataset.main([]) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"error: {path}: not a whole zip") and told.err.count("\n") == 1
