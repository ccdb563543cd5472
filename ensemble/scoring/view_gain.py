"""The gains of views over the centre, and their costs: ``python -m ensemble.scoring.view_gain nin1 10crop dense``.

It reads one snapshot's score files, which `ensemble.scoring.scores --view` wrote, on val and on held-out images if
scored. It writes runs/views_nin1.json: each view's accuracy, its gain over the centre, and its
time. A gain is on the same images, with the 95 % interval and McNemar's test. (`make views-nin1`)
`make results` keeps the file in results/ if the run was a full one.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ensemble import rule
from ensemble.scoring import views
from ensemble.scoring.score_data import DATA, OtherData
from ensemble.scoring.score_file import Scores, check_same_records, load, score_path
from harness import commands, intervals, measurements
from harness.errors import UserError

SPLITS = ("val", "holdout")


def gain(of: Scores, center: Scores) -> intervals.Paired:
    """The gain of a view over the centre, image by image; both need the same snapshot and records."""
    if of.snapshot_sha256 != center.snapshot_sha256:
        raise UserError(
            f"{of.split} scores of the view {of.view} (iteration {of.iteration}) are of another snapshot than those of "
            f"the centre (iteration {center.iteration}); `python -m ensemble.scoring.scores --view {of.view}` makes both"
        )
    check_same_records([center.view, of.view], [center, of])
    return intervals.paired(*(rule.hits(each.scores, each.labels) for each in (of, center)))


def line(of: Scores, center: Scores) -> str:
    """The gain and the cost of a view in words."""
    found = gain(of, center)
    cost = f"{of.windows} windows instead of {center.windows}"
    if center.seconds > 0 and of.seconds > 0:
        cost += f", {of.seconds:.0f} s instead of {center.seconds:.0f} s"
    return f"{of.view} over center {told(found.gain)}, McNemar p = {found.p:.2g}; {cost}"


def told(one: intervals.Interval) -> str:
    """A difference in words, as +0.0123 (95 %: +0.0080 to +0.0166), with a warning if it may be noise."""
    noise = "" if one.low > 0 or one.high < 0 else ", which may be noise"
    return f"{one.value:+.4f} (95 %: {one.low:+.4f} to {one.high:+.4f}{noise})"


def row(of: Scores, center: Scores) -> dict:
    """The row of a view on a split; the centre's own row has no gain."""
    images = len(of.names)
    right = int(rule.hits(of.scores, of.labels).sum())
    found = {
        "split": of.split, "view": of.view, "windows": of.windows, "images": images, "accuracy": of.accuracy,
        "interval": intervals.accuracy(right, images)[1:], "accuracy_top5": of.accuracy_top5,
        "seconds": of.seconds if of.seconds > 0 else None,
    }  # fmt: skip
    if of.view != views.CENTER:
        paired = gain(of, center)
        found.update(gain=paired.gain.value, gain_interval=paired.gain[1:], better=paired.better,
                     worse=paired.worse, p=paired.p)  # fmt: skip
    return found


def _run(options: argparse.Namespace) -> None:
    from harness import provenance  # a late import: scores.py loads this file on real Caffe's Python

    out = options.out or options.runs / f"views_{options.model}.json"
    measurements.check_place(out)
    asked = list(dict.fromkeys([views.CENTER, *map(views.named, options.view)]))
    rows, records = [], {}
    for split in SPLITS:
        if split != "val" and not score_path(options.runs, options.model, split).is_file():
            continue
        try:
            files = [load(options.runs, options.model, split, view, options.data) for view in asked]
        except OtherData as error:
            if split == "val":
                raise
            print(error, file=sys.stderr)
            continue
        center, *others = files
        records[split] = center.data
        if np.isnan(center.accuracy):
            raise UserError(
                f"{score_path(options.runs, options.model, split)}: has images without a label; `make lmdb`"
            )
        rows += [row(each, center) for each in (center, *others)]
        print(f"{options.model} {split}: center {center.accuracy:.4f} of {len(center.names)} images")
        for each in others:
            print(f"{options.model} {split}: {line(each, center)}")
    about = {
        "model": options.model,
        "records": records,
        "iteration": center.iteration,
        "snapshot_sha256": center.snapshot_sha256,
        "command": shlex.join(["python", "-m", "ensemble.scoring.view_gain", *sys.argv[1:]]),
        "commit": provenance.commit(),
        "machine": provenance.machine(options.gpu),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    measurements.write(out, {**about, "rows": rows})
    print(f"-> {out}")


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m ensemble.scoring.view_gain", description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="a name in models/, as nin1")
    parser.add_argument("view", nargs="+", metavar="VIEW", help=views.KNOWN)
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: views_<model>.json in the runs folder")
    parser.add_argument("--gpu", default="", help="the GPU that made the scores, for the machine's name")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except (UserError, OSError) as error:
        return f"ensemble.scoring.view_gain: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
