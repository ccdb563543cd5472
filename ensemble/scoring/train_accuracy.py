"""How well each snapshot of a run knows the images it was trained on: the report's training accuracy.

``python -m ensemble.scoring.train_accuracy nin1`` runs every snapshot of runs/nin1/ over the first 10,000 records of
the train LMDB. Their order is random, so they are a sample. The images are transformed as in the TEST phase, without
dropout, mirror or a random crop. Each snapshot adds a line to runs/nin1/train_accuracy.csv. Snapshots that already
have a line are skipped, so it may run after every training. Lines of removed snapshots stay.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from ensemble.scoring import score_data
from ensemble.scoring.scores import Diverged, iteration_of, score
from harness import commands
from harness.errors import UserError
from harness.files import whole_file

FILE = "train_accuracy.csv"


@dataclass
class Row:
    """The accuracy of one snapshot on train images."""

    iteration: int
    accuracy: float
    accuracy_top5: float
    images: int
    snapshot_sha256: str
    records: str = ""  #: identity of the train records (ensemble/scoring/score_data.py), "" if unknown


def read(folder: Path) -> list[Row]:
    """The lines of a run folder by iteration, none without a file; raises UserError for one that is broken."""
    path = folder / FILE
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        lines = list(csv.DictReader(file))
    try:
        rows = [
            Row(int(line["iteration"]), float(line["accuracy"]), float(line["accuracy_top5"]), int(line["images"]),
                line["snapshot_sha256"], line.get("records") or "")
            for line in lines
        ]  # fmt: skip
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not what ensemble.scoring.train_accuracy writes ({error!r}); remove it") from error
    return sorted(rows, key=lambda row: row.iteration)


def write(folder: Path, rows: list[Row]) -> None:
    """Write all lines, whole or not at all."""
    with whole_file(folder / FILE) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(astuple(row) for row in sorted(rows, key=lambda row: row.iteration))


def _run(options: argparse.Namespace) -> None:
    run = options.runs / options.model
    of = score_data.identity(options.data, "train")
    rows = {(row.snapshot_sha256, row.images): row for row in read(run) if score_data.same(row.records, of)}
    snapshots = sorted(run.glob(f"{options.model}_iter_*.caffemodel"), key=iteration_of)
    if not snapshots:
        raise UserError(f"{run}: no snapshot {options.model}_iter_<N>.caffemodel; `make train-{options.model}`")
    from ensemble.scoring import deploy_net, records  # a late import: Caffe's takes seconds

    deploy_net.use(options.gpu)
    mean = records.read_mean(options.data / "mean.binaryproto")
    deploy = options.deploy or Path("models", options.model, "deploy.prototxt")
    with records.Split(options.data / "train_lmdb", limit=options.limit) as split:
        for snapshot in snapshots:
            digest = hashlib.sha256(snapshot.read_bytes()).hexdigest()
            if (digest, len(split)) in rows:
                continue
            net = deploy_net.DeployNet(deploy, snapshot, mean)
            try:
                found = score(
                    net, split, f"train {iteration_of(snapshot)}", options.batch, mean.shape, snapshot, digest
                )
            except Diverged as error:  # later snapshots diverge too; earlier ones still get their accuracy
                print(f"{options.model}: left out {error}")
                continue
            row = Row(found.iteration, found.accuracy, found.accuracy_top5, len(split), digest, of)
            rows = {key: old for key, old in rows.items() if old.iteration != row.iteration}
            rows[digest, len(split)] = row
            write(run, list(rows.values()))
            print(f"{options.model} iteration {row.iteration}: {row.accuracy:.4f} of {row.images} train images")
    print(f"-> {run / FILE}")


def main(arguments: list[str] | None = None) -> str | None:
    """Run the command; what it returns is the error to print, None if all went well."""
    parser = argparse.ArgumentParser(
        "python -m ensemble.scoring.train_accuracy", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("model", help="a name in models/, as nin1")
    parser.add_argument("--limit", type=int, default=10_000, help="images to take (default: %(default)s)")
    parser.add_argument("--deploy", type=Path, help="default: models/<model>/deploy.prototxt")
    parser.add_argument("--data", type=Path, default=Path("data/lmdb"), help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=100, help="images at a time (default: %(default)s)")
    parser.add_argument("--gpu", default="", help="as caffe's own --gpu, of several the first; default: the CPU")
    options = parser.parse_args(arguments)
    try:
        if options.batch < 1 or options.limit < 1:
            raise UserError("--batch and --limit are 1 or more")
        _run(options)
    except (UserError, OSError) as error:
        return f"ensemble.scoring.train_accuracy: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
