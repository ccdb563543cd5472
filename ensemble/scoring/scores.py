"""Step 1: a model's class scores, pulled with pycaffe from its deploy net and a snapshot.

``python -m ensemble.scoring.scores nin1`` reads models/nin1/deploy.prototxt, the newest snapshot in runs/nin1/ and
the LMDBs. It writes runs/nin1/scores/{val,test}.npz, and holdout.npz if that LMDB exists. The images are transformed
as in Caffe's Data layer in the TEST phase, but never mirrored. The accuracy printed is therefore that of
``caffe test``. Ties count as wrong, as in Caffe since August 2017. One NIN takes minutes on a CPU.

With ``--view 10crop`` (or another of `ensemble.scoring.views`) the scores are means over the windows of an image.
They average the Softmax's outputs, as in AlexNet's paper (Krizhevsky et al. 2012, section 4.1). Probabilities weigh
every window the same. Before the Softmax, the window with the largest numbers would decide. The scores are written to
runs/nin1/scores/10crop/, and their gain over the centre is printed with its interval.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble import rule
from ensemble.scoring import score_data, trained_on, view_gain, views
from ensemble.scoring.score_data import DATA
from ensemble.scoring.score_file import SPLITS, Scores, is_made, load, save, score_path
from harness import commands
from harness.errors import UserError
from harness.progress import bar


def iteration_of(snapshot: Path) -> int:
    """The iteration in a snapshot's file name, -1 if it has none."""
    found = re.search(r"_iter_(\d+)\.caffemodel$", snapshot.name)
    return int(found.group(1)) if found else -1


def newest_snapshot(run: Path, model: str) -> Path:
    """The snapshot of the highest iteration in a run's folder."""
    found = list(run.glob(f"{model}_iter_*.caffemodel"))
    if not found:
        raise UserError(f"{run}: no snapshot {model}_iter_<N>.caffemodel; `make train-{model}` makes one")
    return max(found, key=iteration_of)


class Diverged(UserError):
    """A snapshot's scores are not finite."""


def score(net, split, name: str, size: int, shape: tuple[int, ...], snapshot: Path, digest: str,
          view: str = views.CENTER) -> Scores:  # fmt: skip
    """Run all records of a split through the net, `size` at a time; images are of `shape` (C, H, W).

    Raises:
        Diverged: scores are not finite.
        UserError: a label is not valid.
    """
    start, chosen = time.perf_counter(), net.windows(view)
    prob = np.empty((len(split), rule.CLASSES), dtype=np.float32)
    labels = np.empty(len(split), dtype=np.int64)
    names: list[str] = []
    right = {1: 0, 5: 0}
    batches, total = split.batches(size, shape), -(-len(split) // size)
    for batch in bar(batches, desc=name, total=total, unit="batch"):
        rows = slice(len(names), len(names) + len(batch.names))
        decides, prob[rows] = _through(net, batch.images, chosen)
        if not np.isfinite(prob[rows]).all():
            raise Diverged(f"{snapshot}: the training diverged, scores are not finite")
        labels[rows] = batch.labels
        names.extend(batch.names)
        if batch.labels.min() < -1 or batch.labels.max() >= rule.CLASSES:
            raise UserError(f"{split.path}: a label not in -1 to {rule.CLASSES - 1}; `make lmdb` makes it")
        if batch.labels.min() >= 0:
            for top_k in right:
                right[top_k] += int(rule.hits(decides, batch.labels, top_k).sum())
    known = labels.min() >= 0
    top1, top5 = (right[top_k] / len(labels) if known else float("nan") for top_k in (1, 5))
    seconds = time.perf_counter() - start
    return Scores(prob, labels, np.array(names), name, iteration_of(snapshot), top1, top5, str(snapshot), digest,
                  view=view, windows=len(chosen), seconds=seconds)  # fmt: skip


def _through(net, images: np.ndarray, chosen: list[views.Window]) -> tuple[np.ndarray, np.ndarray]:
    """The scores that decide the class, and the probabilities, of some images: each (n, 200).

    The images are read once and pass through the net once per window, so memory holds only one window.
    """
    if len(chosen) == 1:
        # The TEST phase also reads before the Softmax, which can round two scores into a tie.
        return net(images, chosen[0])
    total = np.zeros((len(images), rule.CLASSES))
    for window in chosen:
        total += net(images, window).prob
    total /= len(chosen)
    return total, total


def _splits(data: Path, asked: list[str] | None) -> list[str]:
    if asked:
        return asked
    return [name for name in SPLITS if name != "holdout" or (data / "holdout_lmdb").exists()]


def _is_usual(options: argparse.Namespace) -> bool:
    """True unless an option was given that a score file does not record."""
    return options.deploy is None and options.data == DATA


def _views(split: str, asked: list[str]) -> list[str]:
    """The requested views. With labels the centre comes first, to measure a view's gain over it."""
    return asked if split == "test" else list(dict.fromkeys([views.CENTER, *asked]))


def _run(options: argparse.Namespace) -> None:
    run = options.runs / options.model
    asked = list(dict.fromkeys(views.named(view) for view in options.view))
    snapshot = options.snapshot or newest_snapshot(run, options.model)
    if not snapshot.is_file():
        raise UserError(f"{snapshot}: no such snapshot; without --snapshot the newest in {run} is taken")
    from ensemble.scoring import deploy_net, records  # a late import: Caffe's takes seconds

    deploy_net.use(options.gpu)
    mean = records.read_mean(options.data / "mean.binaryproto")
    splits = _splits(options.data, options.split)
    if "holdout" in splits:
        trained_on.check(run, options.data)
    deploy = options.deploy or Path("models", options.model, "deploy.prototxt")
    digest, engine = hashlib.sha256(snapshot.read_bytes()).hexdigest(), str(Path(deploy_net.caffe.__file__).parent)
    precision = os.environ.get("CAFFE_PRECISION") or "fp32"
    net = None
    for name in splits:
        sources = [deploy, options.data / "mean.binaryproto", options.data / f"{name}_lmdb" / "data.mdb"]
        of_data = score_data.identity(options.data, name)
        for view in _views(name, asked):
            path = score_path(options.runs, options.model, name, view)
            wanted = not options.again or view not in asked
            if wanted and _is_usual(options) and is_made(path, digest, engine, precision, sources, view, of_data):
                if view in asked:
                    print(f"{options.model} {name}: {path} is of {snapshot} already; --again makes it again")
            else:
                net = net or deploy_net.DeployNet(deploy, snapshot, mean)
                net.windows(view)  # fails for a wrong view before the records are read
                with records.Split(options.data / f"{name}_lmdb") as split:
                    result = score(net, split, name, options.batch, mean.shape, snapshot, digest, view)
                save(path, replace(result, engine=engine, precision=precision, data=of_data))
                _tell(options.model, result, net, path)
            if view != views.CENTER and name != "test":
                _tell_gain(options, name, view)


def _tell(model: str, result: Scores, net, path: Path) -> None:
    known = f"accuracy {result.accuracy:.4f}, top-5 {result.accuracy_top5:.4f}"
    told = "no labels" if np.isnan(result.accuracy) else known
    view = "" if result.view == views.CENTER else f" {result.view}"
    each = "" if result.windows == 1 else f" of {result.windows} windows each"
    speed = len(result.names) / result.seconds
    print(f"{model} {result.split}{view}: {told}; {len(result.names)} images{each}, {speed:.0f} images/s -> {path}")
    if result.view != views.CENTER and net.crop == net.image:
        print(f"{model} takes whole images, so {result.view} is the image{' and its mirror' * (result.windows > 1)}")


def _tell_gain(options: argparse.Namespace, split: str, view: str) -> None:
    both = [load(options.runs, options.model, split, each, options.data) for each in (view, views.CENTER)]
    if np.isnan(both[0].accuracy):
        return
    print(f"{options.model} {split}: {view_gain.line(*both)}")


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser("python -m ensemble.scoring.scores", description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="a name in models/, as nin1")
    parser.add_argument("--split", nargs="+", choices=SPLITS, help="default: all, holdout if there is one")
    parser.add_argument("--view", nargs="+", default=[views.CENTER], metavar="VIEW",
                        help=f"what the net sees of an image (default: center): {views.KNOWN}")  # fmt: skip
    parser.add_argument("--snapshot", type=Path, help="default: the newest in the run's folder")
    parser.add_argument("--deploy", type=Path, help="default: models/<model>/deploy.prototxt")
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=100, help="images at a time (default: %(default)s)")
    parser.add_argument("--gpu", default="", help="as caffe's own --gpu, of several the first; default: the CPU")
    parser.add_argument("--again", action="store_true", help="also where the scores of this snapshot are there")
    options = parser.parse_args(arguments)
    try:
        if options.batch < 1:
            raise UserError(f"--batch {options.batch}: a batch holds one image or more")
        _run(options)
    except (UserError, OSError) as error:
        return f"ensemble.scoring.scores: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
