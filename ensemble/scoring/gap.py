"""Measure the report's gap between val and test: ``python -m ensemble.scoring.gap alexnet1``   (make gap-alexnet1)

The report lost 4 points from val to test. Its suspect was "the randomness in the forward pass (because of cropping and
mirroring) present during training but not during testing" (section 5). This command runs one snapshot over train
images (a sample), val and the held-out ones. Each of these is run with three kinds of views:

- the centre of every image;
- random crops and mirrors as the TRAIN phase draws them (dropout is off);
- the whole image, if the net can take it.

The test images have no labels, so the net's confidence in them is compared instead. The result is
runs/gap_<model>.json; `ensemble.scoring.gap_reasons` draws the conclusions. `make results` keeps the file in results/
if the run was a full one.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ensemble import rule
from ensemble.scoring import gap_reasons, score_data, trained_on, views
from ensemble.scoring.scores import DATA, iteration_of, newest_snapshot
from harness import commands, intervals, measurements
from harness.errors import UserError
from harness.progress import bar

LABELLED = ("train", "val", "holdout")


def measure(net, split, name: str, size: int, draws: int, seed: int) -> dict:
    """Measure one split: a net's accuracy with each kind of view, and its confidence at the centre.

    Every number is a share of the images with its 95 % interval. `random_gain` and `whole_gain` are gains over the
    centre, on the same images. Without labels there is `confidence` alone.
    """
    random = np.random.RandomState(seed)
    whole = net.whole if name in LABELLED else None
    right: dict[str, list[np.ndarray]] = {"center": [], "random": [], "whole": []}
    sure: list[np.ndarray] = []
    total = -(-len(split) // size)
    for batch in bar(split.batches(size, (net.channels, *net.image)), desc=name, total=total, unit="batch"):
        before, prob = net(batch.images)
        sure.append(prob.max(axis=1))
        if name not in LABELLED:
            continue
        if batch.labels.min() < 0 or batch.labels.max() >= rule.CLASSES:
            raise UserError(f"{split.path}: a label not in 0 to {rule.CLASSES - 1}; `make lmdb` makes it")
        right["center"].append(rule.hits(before, batch.labels))
        drawn = (views.at_random(len(batch.names), net.image, net.crop, random) for _ in range(draws))
        right["random"].append(np.array([rule.hits(net(batch.images, each).before, batch.labels) for each in drawn]))
        if whole:
            right["whole"].append(rule.hits(net(batch.images, whole).prob, batch.labels))
    confidence = np.concatenate(sure).astype(np.float64)
    if not np.isfinite(confidence).all():
        raise UserError(f"{split.path}: scores that are not finite numbers; did the training diverge?")
    found = {
        "images": len(confidence),
        "confidence": intervals.mean(confidence),
        "confidence_std": float(confidence.std(ddof=1)),
    }
    if name in LABELLED:
        center, drawn = np.concatenate(right["center"]), np.concatenate(right["random"], axis=1)
        passes = drawn.mean(axis=1)
        found["center"] = intervals.accuracy(int(center.sum()), len(center))
        found["random"] = {
            "accuracy": float(passes.mean()),
            "lowest": float(passes.min()),
            "highest": float(passes.max()),
        }
        # For each image: the share of random windows classified correctly, minus 1 if the centre is.
        found["random_gain"] = intervals.mean(drawn.mean(axis=0) - center)
        if whole:
            hits = np.concatenate(right["whole"])
            found["whole"] = intervals.accuracy(int(hits.sum()), len(hits))
            found["whole_gain"] = intervals.paired(hits, center).gain
    return found


def _run(options: argparse.Namespace) -> None:
    from harness import provenance

    start, run = time.perf_counter(), options.runs / options.model
    out = options.out or options.runs / f"gap_{options.model}.json"
    measurements.check_place(out)
    snapshot = options.snapshot or newest_snapshot(run, options.model)
    if not snapshot.is_file():
        raise UserError(f"{snapshot}: no such snapshot; without --snapshot the newest in {run} is taken")
    from ensemble.scoring import deploy_net, records  # a late import: Caffe's takes seconds

    deploy_net.use(options.gpu)
    mean = records.read_mean(options.data / "mean.binaryproto")
    trained_on.check(run, options.data)
    net = deploy_net.DeployNet(options.deploy or Path("models", options.model, "deploy.prototxt"), snapshot, mean)
    splits = {}
    for name in (*LABELLED, "test"):
        folder = options.data / f"{name}_lmdb"
        if name == "holdout" and not folder.exists():
            print(f"{folder}: no held-out images; `make lmdb HOLDOUT=50` in another folder, trained there, has them")
            continue
        limit, seed = (options.images, options.seed) if name == "train" else (None, None)
        with records.Split(folder, limit, seed) as split:
            splits[name] = measure(net, split, name, options.batch, options.draws, options.seed)
        print(f"{options.model} {name}: {_told(splits[name], options.draws)}")
    found = {
        "model": options.model,
        "iteration": iteration_of(snapshot),
        "snapshot_sha256": hashlib.sha256(snapshot.read_bytes()).hexdigest(),
        "draws": options.draws,
        "crop": list(net.crop),
        "image": list(net.image),
        "seed": options.seed,
        "records": {name: score_data.identity(options.data, name) for name in splits},
        "command": shlex.join(["python", "-m", "ensemble.scoring.gap", *sys.argv[1:]]),
        "data": provenance.digest_of_mean(options.data / "mean.binaryproto"),
        "commit": provenance.commit(),
        "machine": provenance.machine(options.gpu),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 3),
        "splits": splits,
    }
    measurements.write(out, found)
    for reason in gap_reasons.reasons(found):
        print(f"- {reason.what}: {reason.verdict}. {reason.text}")
    print(gap_reasons.conclusion(gap_reasons.reasons(found)))
    print(f"-> {out}")


def _told(found: dict, draws: int) -> str:
    sure = f"{found['confidence'][0]:.4f} sure"
    if "center" not in found:
        return f"no labels, {sure}; {found['images']} images"
    low, high = found["center"][1:]
    text = (
        f"accuracy {found['center'][0]:.4f} ({low:.4f} to {high:.4f}) at the centre, {found['random']['accuracy']:.4f} "
    )
    text += f"with random crops and mirrors ({draws} draws)"
    if "whole" in found:
        text += f", {found['whole'][0]:.4f} with whole images"
    return f"{text}; {sure}; {found['images']} images"


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m ensemble.scoring.gap", description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="a name in models/, as nin1")
    parser.add_argument("--images", type=int, default=10_000, help="train images to draw (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=3, help="random windows of each image (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and the windows (default: %(default)s)")
    parser.add_argument("--snapshot", type=Path, help="default: the newest in the run's folder")
    parser.add_argument("--deploy", type=Path, help="default: models/<model>/deploy.prototxt")
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: gap_<model>.json in the runs folder")
    parser.add_argument("--batch", type=int, default=100, help="images at a time (default: %(default)s)")
    parser.add_argument("--gpu", default="", help="as caffe's own --gpu, of several the first; default: the CPU")
    options = parser.parse_args(arguments)
    try:
        if min(options.batch, options.images, options.draws) < 1 or not 0 <= options.seed < 2**32:
            raise UserError("--batch, --images and --draws are 1 or more, --seed 0 to 2^32 - 1")
        _run(options)
    except (UserError, OSError) as error:
        return f"ensemble.scoring.gap: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
