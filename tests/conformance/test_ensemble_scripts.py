"""The ensemble's scripts, unchanged, behind both doors: the same scores, choice and submission."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.ensemble import small_ensemble as small

from .engines import OURS, REAL, REPOSITORY, Engine

SCRIPT = Path(__file__).with_name("run_ensemble.py")
#: Two float32 engines, probabilities up to 1: measured 1.4e-6 here, 1.6e-6 on nin1, nin3 and alexnet1.
TOLERANCE = 1e-5


def run(engine: Engine, experiment: Path) -> Path:
    """A copy of the experiment with the scripts beside it, after the three steps."""
    folder = experiment.with_name(f"{experiment.name}_{engine.name}")
    shutil.copytree(experiment, folder)
    for package in ("ensemble", "harness"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    engine.python(SCRIPT, small.MODELS, folder)
    return folder / "runs"


def test_both_engines_give_the_same_ensemble(real_caffe: None, work: Path) -> None:
    experiment = work / "ensemble"
    experiment.mkdir()
    expected = small.make(experiment)
    ours, real = run(OURS, experiment), run(REAL, experiment)
    for model in small.MODELS:
        for split, view in [(split, view) for split in small.SIZES for view in (".", "10crop")]:
            path = Path(model, "scores", view, f"{split}.npz")
            with np.load(ours / path) as here, np.load(real / path) as there:
                assert here.files == there.files
                for field in set(here.files) - {"scores", "engine", "seconds"}:
                    np.testing.assert_array_equal(here[field], there[field], err_msg=f"{path} {field}")
                np.testing.assert_allclose(here["scores"], there["scores"], rtol=0, atol=TOLERANCE)
                if view == ".":
                    np.testing.assert_allclose(there["scores"], expected[model][split], rtol=0, atol=TOLERANCE)
                else:
                    assert (there["view"], there["windows"]) == ("10crop", 10)
    names = ("best.json", "combinations.csv", "ensemble.md", "submission.txt")
    for name in (*names, *(f"10crop/{name}" for name in names)):
        assert (ours / "ensemble" / name).read_text() == (real / "ensemble" / name).read_text(), name


def test_the_accuracy_of_the_scores_is_that_of_caffe_test(real_caffe: None, work: Path) -> None:
    experiment = work / "ensemble_test_phase"
    experiment.mkdir()
    small.make(experiment)
    runs = run(REAL, experiment)
    for model in small.MODELS:
        snapshot = f"runs/{model}/{model}_iter_20.caffemodel"
        net = f"models/{model}/train_val.prototxt"
        log = REAL.caffe(["test", "-model", net, "-weights", snapshot, "-iterations", "3"], experiment)
        with np.load(runs / model / "scores" / "val.npz") as file:
            told = float(log.rstrip().rpartition("accuracy = ")[2].split()[0])
            np.testing.assert_allclose(file["accuracy"], told, rtol=0, atol=1e-6)
