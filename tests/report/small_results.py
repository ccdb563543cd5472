"""Made-up measurements of views and of the gap, as the commands write them, for the tests of the report's page."""

from __future__ import annotations

import json
from pathlib import Path

ABOUT = {"model": "nin1", "iteration": 1000, "command": "python -m x", "commit": "abc", "machine": "a machine",
         "time": "2026-03-06T10:00:00+00:00"}  # fmt: skip


def views() -> dict:
    """A view that helps, one that may be noise and one that harms."""
    rows = [{"split": "val", "view": "center", "windows": 1, "images": 400, "accuracy": 0.45, "interval": [0.4, 0.5],
             "accuracy_top5": 0.7, "seconds": 2.0}]  # fmt: skip
    for view, windows, gain in (("10crop", 10, 0.02), ("center+mirror", 2, 0.002), ("dense:4", 50, -0.02)):
        rows.append({**rows[0], "view": view, "windows": windows, "seconds": 2.0 * windows, "accuracy": 0.45 + gain,
                     "gain": gain, "gain_interval": [gain - 0.01, gain + 0.01], "better": 9, "worse": 4,
                     "p": 0.03})  # fmt: skip
    return {**ABOUT, "rows": rows}


def gap() -> dict:
    """Val below the held-out images, random windows worse than the centre, and the net less sure of test."""

    def split(accuracy: float, sure: float) -> dict:
        return {"images": 10_000, "confidence": [sure, sure - 0.006, sure + 0.006], "confidence_std": 0.3,
                "center": [accuracy, accuracy - 0.005, accuracy + 0.005],
                "random": {"accuracy": accuracy - 0.01, "lowest": accuracy - 0.012, "highest": accuracy - 0.009},
                "random_gain": [-0.01, -0.015, -0.005], "whole": [accuracy, accuracy - 0.005, accuracy + 0.005],
                "whole_gain": [0.0, -0.01, 0.01]}  # fmt: skip

    splits = {"train": split(0.6, 0.6), "val": split(0.45, 0.5), "holdout": split(0.47, 0.5)}
    splits["test"] = {"images": 10_000, "confidence": [0.47, 0.464, 0.476], "confidence_std": 0.3}
    about = {"draws": 3, "seed": 0, "crop": [48, 48], "image": [64, 64], "snapshot_sha256": "0", "seconds": 99.5}
    return {**ABOUT, **about, "splits": splits}


def write(folder: Path) -> None:
    """Write both to `folder`/runs."""
    for kind, found in (("views", views()), ("gap", gap())):
        (folder / f"runs/{kind}_nin1.json").write_text(json.dumps(found))
