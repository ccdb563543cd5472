"""A download that resumes after an interruption, and is checked before it gets its name."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from harness.errors import UserError
from harness.progress import bar

MAX_BYTES = 2 << 30
TRIES = 5
_CHUNK = 1 << 18
_TIMEOUT_S = 30


def download(url: str, path: Path, md5: str, *, wait_s: float = 1.0) -> None:
    """Fetch ``url`` to ``path``; the bytes gather in ``<path>.part``, which a later call continues.

    A broken connection is opened again, at most ``TRIES`` times in a row without a new byte. Raises
    ``UserError`` if it stays broken (the .part file is kept) or the md5 is wrong (it is deleted).
    """
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch_rest(url, part)
            break
        except urllib.error.HTTPError as error:
            raise UserError(f"{url}: the server says {error.code} {error.reason}; {_advice(path)}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == TRIES:
                reason = getattr(error, "reason", None) or error
                kept = f"{_size(part)} bytes are kept in {part}; run it again to go on, or " if _size(part) else ""
                raise UserError(
                    f"{url}: no network, or the connection broke ({reason}); {kept}{_advice(path)}"
                ) from error
            time.sleep(wait_s * 2 ** (failures - 1))
    _finish(url, part, path, md5)


def _fetch_rest(url: str, part: Path) -> None:
    """Make one request: append the missing bytes, or write all of them anew if the server ignores Range."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        # A 416 follows a cut exactly at the end. Nothing is missing, which the md5 will confirm.
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT or _range_start(response) != have:
            have = 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        with open(part, "r+b" if have else "wb") as file:
            file.seek(have)
            _copy(response, file, total, have, url)
    if total is not None and _size(part) < total:
        raise ConnectionError(f"cut after {_size(part)} of {total} bytes")


def _copy(response: http.client.HTTPResponse, file: BinaryIO, total: int | None, have: int, url: str) -> None:
    with bar(total=total, initial=have, unit="B", unit_scale=True, desc=url.rpartition("/")[2]) as progress:
        while chunk := response.read1(_CHUNK):
            have += len(chunk)
            if have > MAX_BYTES:
                raise UserError(f"{url}: the server sends more than {MAX_BYTES} bytes; this is not the official zip")
            file.write(chunk)
            progress.update(len(chunk))


def _range_start(response: http.client.HTTPResponse) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _finish(url: str, part: Path, path: Path, md5: str) -> None:
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found == md5:
            os.fsync(file.fileno())
    if found != md5:
        part.unlink()
        raise UserError(f"{url}: md5 {found} instead of {md5}; what came was deleted, run it again or {_advice(path)}")
    part.replace(path)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _advice(path: Path) -> str:
    return f"fetch the zip elsewhere to {path}, or set TINY_IMAGENET to a zip or folder"
