"""Runs the whole report in minutes: images, LMDB, nets, training, an edited rate, the ensemble.

    python -m demo [--caffe CAFFE] [--gpu 0]                 (make demo)

The demo works in demo/out, which it makes anew. It runs README's commands, on nets of the same templates at smaller
sizes (demo/variants.toml, demo/solvers/). If TINY_IMAGENET names a zip or folder, it uses those real images.
Otherwise it draws an offline sample set. It fails if the ensemble is not clearly above chance, or if any step fails.
"""

import argparse
import csv
import json
import os
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

from harness import commands
from harness.errors import UserError
from training.options import check_gpu, check_precision

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
CHANCE = 1 / 200
DROPS = {"nin1": ("0.0005", "640"), "alexnet1": ("0.001", "480"), "alexnet2": ("0.0005", "480")}  # base_lr, max_iter
TRAIN_IMAGES = "2000"  # as many as val has
AGAIN = ["--go-on=make demo, which starts anew"]  # a training's own command would be one for demo/out
CLEARLY_ABOVE = 3  # times chance; on the 2,000 val images chance itself almost never exceeds this


class Stopped(Exception):
    """The user has asked the demo to stop, and the current step has ended."""


def say(title: str) -> None:
    print(f"\n==== {title}", flush=True)


def run(*words: str) -> None:
    """Run one of the project's commands in demo/out, and print it as a user would type it."""
    print(f"$ python -m {shlex.join(words)}", flush=True)
    # MAKELEVEL is removed: commands that the steps print are for demo/out, not for make here.
    environment = {name: value for name, value in os.environ.items() if name != "MAKELEVEL"}
    status, stopped = commands.wait_for([sys.executable, "-m", *words], cwd=OUT, env=environment)
    if stopped:
        raise Stopped
    if status:
        raise SystemExit(f"demo: this step failed with status {status}; what it said stands above.")


def edit(solver: Path, **fields: str) -> None:
    """Set fields of a solver file in place, as a user does in an editor; the rest is unchanged."""
    text = solver.read_text()
    for field, value in fields.items():
        text, count = re.subn(rf"^{field}: [^\s#]+", f"{field}: {value}", text, flags=re.MULTILINE)
        assert count == 1, f"{solver} has {count} lines of {field}"
        print(f"edit {solver.relative_to(OUT)}: {field}: {value}", flush=True)
    solver.write_text(text)


def images() -> str:
    """The data set to train on: a path for `data_prep.build_lmdb --data`."""
    given = os.environ.get("TINY_IMAGENET")
    if given:
        path = Path(given).resolve()
        print(f"real images: {given}")
        return str(path)
    print("an offline sample set, drawn by code (give real images with TINY_IMAGENET=zip or folder)")
    run("data_prep.sample", "--out", "sample")
    return "sample"


def summary(seconds: float) -> int:
    """Print the results and their files, and return the exit code."""
    best = json.loads((OUT / "runs/ensemble/best.json").read_text())
    with (OUT / "runs/ensemble/combinations.csv").open(newline="") as file:
        singles = [row for row in csv.DictReader(file) if row["number_of_models"] == "1"]
    accuracy = best["val_accuracy"]
    say(f"done in {seconds / 60:.1f} minutes")
    print(f"chance        {CHANCE:7.2%}  of val images right (200 classes)")
    for row in sorted(singles, key=lambda row: row["models"]):
        print(f"{row['models']:<13} {float(row['val_accuracy']):7.2%}")
    print(f"ensemble      {accuracy:7.2%}  ({' + '.join(best['models'])})\n")
    where = shown_out()
    for path, what in (
        ("runs/ensemble/ensemble.md", "report of the ensemble: every combination of the models"),
        ("runs/ensemble/submission.txt", "the judge's file: a class for every test image"),
        ("runs/*/train.log, *.caffemodel", "Caffe's logs and snapshots"),
        ("runs/*/journal.jsonl", "which solver was in force from which iteration"),
        ("models/, solvers/", "the nets and the solvers: edit a base_lr, raise max_iter, then"),
    ):
        print(f"  {where}/{path:<32} {what}")
    print(f"    make -C {where} -f ../../Makefile resume-nin1")
    if accuracy < CLEARLY_ABOVE * CHANCE:
        print(f"demo: {accuracy:.2%} is not clearly above chance: something is wrong.", file=sys.stderr)
        return 1
    print(f"The curves, the ensembles, what the nets take for what: open {where}/runs/report.html")
    return 0


def shown_out() -> Path:
    """demo/out relative to the current folder, if it lies below it."""
    return OUT.relative_to(Path.cwd()) if OUT.is_relative_to(Path.cwd()) else OUT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--caffe", default="caffe", help="the caffe command (default: %(default)s)")
    parser.add_argument("--gpu", default="", help="as caffe's own --gpu; default: the CPU")
    options = parser.parse_args()
    try:
        check_precision()
        check_gpu(options.gpu)
    except UserError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    try:
        return whole_way(options)
    except Stopped:
        print(f"demo: stopped; so far it made {shown_out()}; make demo starts anew", file=sys.stderr)
        return commands.STOPPED


def whole_way(options: argparse.Namespace) -> int:
    """Run all steps of the demo, and return the exit code."""
    door = ["--caffe", options.caffe, "--gpu", options.gpu]
    begun = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(HERE / "solvers", OUT / "solvers")

    say("1 of 7: images")
    data = images()
    say("2 of 7: LMDB, mean and labels")
    run("data_prep.build_lmdb", "--data", data, "--out", "data/lmdb")
    say("3 of 7: the nets, from the templates")
    run("models.render", "--variants", str(HERE / "variants.toml"), "--out", "models")
    names = sorted(path.stem for path in (OUT / "solvers").glob("*.prototxt"))
    say(f"4 of 7: caffe train ({', '.join(names)})")
    for name in names:
        run("training.run", "train", name, *door, *AGAIN)
    say("5 of 7: the rates edited by hand, and resume (report, section 4)")
    for name in names:
        base_lr, max_iter = DROPS[name]
        edit(OUT / f"solvers/{name}.prototxt", base_lr=base_lr, max_iter=max_iter)
        run("training.run", "resume", name, *door, *AGAIN)
    say("6 of 7: class scores, every combination of the models, the judge's file")
    for name in names:
        run("ensemble.scoring.scores", name, "--gpu", options.gpu)
    run("ensemble.combine", *names)
    run("ensemble.submission")
    say("7 of 7: accuracy on train images for the curves, and the page")
    for name in names:
        run("ensemble.scoring.train_accuracy", name, "--limit", TRAIN_IMAGES, "--gpu", options.gpu)
    run("report")
    return summary(time.monotonic() - begun)


if __name__ == "__main__":
    commands.run(main)
