"""``_iter_N.manifest.json``: the files of a snapshot. It is written last, so it proves that all of them are there.

    {"format": 1, "iter": 4000,
     "versions": {"caffe": "1.0.0", "python": "3.11.2", "torch": "2.13.0", "numpy": "2.4.6"},
     "files": {"nin1_iter_4000.caffemodel": {"bytes": 3914570, "sha256": "..."}, ...}}

Files are named without folders, so that a run folder can be moved. A snapshot without a manifest, such as
real Caffe's, is read unchecked.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from caffe import __version__
from caffe._error import SnapshotError
from caffe._files.whole_file import Written
from caffe._log import logger

_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """Size and digest of each file of a snapshot, by name, from when it was written."""

    path: Path
    iter: int
    versions: dict[str, str]
    files: dict[str, Written]

    @classmethod
    def of(cls, path: Path, iteration: int, files: dict[str, Written]) -> Manifest:
        """The manifest of a snapshot that this process writes."""
        return cls(path, iteration, _versions(), files)

    def to_bytes(self) -> bytes:
        """The content of the file."""
        files = {name: written._asdict() for name, written in self.files.items()}
        content = {"format": _FORMAT, "iter": self.iter, "versions": self.versions, "files": files}
        return (json.dumps(content, indent=1) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """Read the manifest at a path; None if there is no file.

        Raises:
            SnapshotError: it is broken, or has another format.
        """
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']}, not {_FORMAT}")
            files = {
                str(name): Written(int(file["bytes"]), str(file["sha256"])) for name, file in content["files"].items()
            }
            return cls(path, int(content["iter"]), dict(content["versions"]), files)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SnapshotError(f"Could not open file {path}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise SnapshotError(f"{path} is broken ({error}); remove it to resume without it.") from None

    def check(self, files: Iterable[Path]) -> None:
        """Check that files of the snapshot are unchanged; warn if other versions wrote them.

        Raises:
            SnapshotError: a file has changed, or the manifest does not list it.
        """
        for file in files:
            written = self.files.get(file.name)
            if written is None:
                raise SnapshotError(
                    f"{self.path} is not of the snapshot that {file} is of; remove it to resume without it."
                )
            try:
                with open(file, "rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
            except OSError as error:
                raise SnapshotError(f"Could not open file {file}: {error.strerror}") from None
            if digest != written.sha256:
                raise SnapshotError(
                    f"{file} is not as {self.path.name} says it was written: cut, damaged or written over since. "
                    "Take an earlier snapshot, or remove the manifest to resume from the changed file."
                )
        self._warn_of_other_versions()

    def _warn_of_other_versions(self) -> None:
        """Warn if other versions wrote the snapshot than now resume from it."""
        now = _versions()
        changed = [
            f"{name} {self.versions.get(name)} (now {now[name]})"
            for name in now
            if self.versions.get(name) != now[name]
        ]
        if changed:
            logger.warning("Written with %s: the last bits of the weights to come may differ.", ", ".join(changed))


def _versions() -> dict[str, str]:
    numbers = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    return {"caffe": __version__, **numbers}
