"""The caffe command, in processes of its own: training, resuming, scoring, errors."""

import re
import signal
import time

import numpy as np
import pytest
import torch

from tests.engine.command import SOLVER, caffe, displayed, make_experiment, start, weights


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A folder in which a run of 20 iterations was never stopped, and its log."""
    folder = make_experiment(tmp_path_factory.mktemp("straight"))
    return folder, caffe(folder, "train", "--solver=solver.prototxt")


def assert_same_weights(one, other):
    for ours, theirs in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_log_reads_like_caffes(straight):
    _, log = straight
    assert re.search(r"^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \S+:\d+\] Starting Optimization$", log, re.M)
    assert re.search(r"\] Iteration 0 \(0 iter/s, [\d.]+s/1 iters\), loss = \d\.\d+$", log, re.M)
    assert re.search(r"\]     Train net output #0: loss = (\d\.\d+) \(\* 1 = \1 loss\)$", log, re.M)
    assert re.search(r"\] Iteration 6, Testing net \(#0\)$", log, re.M)
    assert re.search(r"\]     Test net output #0: accuracy = [01](\.\d+)?$", log, re.M)
    assert "] Iteration 19, lr = 0.01" in log
    assert "] Snapshotting to binary proto file snap_iter_10.caffemodel" in log
    assert log.rstrip().endswith("Optimization Done.")


def test_the_log_files_have_what_standard_error_has(tmp_path):
    folder = make_experiment(tmp_path, SOLVER.replace("max_iter: 20", "max_iter: 2"))
    (folder / "logs").mkdir()
    (folder / "flags").write_text("# for every run\n--solver=solver.prototxt\n--log_dir=logs\n")
    log = caffe(folder, "train", "--flagfile=flags")
    header, _, _, *lines = (folder / "logs" / "caffe.INFO").read_text().splitlines()
    assert header.startswith("Log file created at: ") and lines == log.splitlines() and len(lines) > 50
    assert len(list((folder / "logs").iterdir())) == 2


def test_a_command_that_fails_says_why_in_every_file(tmp_path):
    folder = make_experiment(tmp_path, 'net: "nowhere"')
    (folder / "logs").mkdir()
    flags = ["--log_dir=logs", "--minloglevel=99", "--noalsologtostderr"]
    log = caffe(folder, "train", "--solver=solver.prototxt", *flags, status=1)
    for level in ("INFO", "WARNING", "ERROR", "FATAL"):
        assert (folder / "logs" / f"caffe.{level}").read_text().splitlines()[3:] == log.splitlines()
    assert "nowhere" in log and len(log.splitlines()) == 1


def test_a_run_in_two_parts_is_one_run(straight, tmp_path):
    whole, log = straight
    folder = make_experiment(tmp_path, SOLVER.replace("max_iter: 20", "max_iter: 10"))
    first = caffe(folder, "train", "-solver", "solver.prototxt")
    (folder / "solver.prototxt").write_text(SOLVER)
    second = caffe(folder, "train", "--solver", "solver.prototxt", "-snapshot=snap_iter_10.solverstate")
    assert displayed(first) | displayed(second) == displayed(log) | {10: displayed(second)[10]}
    assert_same_weights(folder / "snap_iter_20.caffemodel", whole / "snap_iter_20.caffemodel")


def test_without_the_side_file_it_resumes_as_caffe_does_with_a_message(straight, tmp_path):
    whole, log = straight
    folder = make_experiment(tmp_path)
    caffe(folder, "train", "--solver=solver.prototxt")
    (folder / "snap_iter_10.resume.json").unlink()
    resumed = caffe(folder, "train", "--solver=solver.prototxt", "--snapshot=snap_iter_10.solverstate")
    assert "resuming as real Caffe does" in resumed
    assert displayed(resumed)[19] != displayed(log)[19]


@pytest.mark.parametrize(("drop", "rates"), [(7, (0.01, 0.001)), (12, (0.02, 0.01))])
def test_an_edited_rate_equals_a_multistep_run(tmp_path, drop, rates):
    before, after = rates
    multistep = SOLVER.replace('lr_policy: "fixed"', f'lr_policy: "multistep" stepvalue: {drop}')
    multistep = multistep.replace("base_lr: 0.01", f"base_lr: {before} gamma: {after / before:.2g}")
    one = make_experiment(tmp_path / "one", multistep)
    log = caffe(one, "train", "--solver=solver.prototxt")
    assert f"Iteration {drop}, step = 1" in log

    two = make_experiment(tmp_path / "two", SOLVER.replace("base_lr: 0.01", f"base_lr: {before}"))
    solver = two / "solver.prototxt"
    solver.write_text(solver.read_text().replace("max_iter: 20", f"max_iter: {drop}"))
    caffe(two, "train", "--solver=solver.prototxt")
    solver.write_text(SOLVER.replace("base_lr: 0.01", f"base_lr: {after}"))
    resumed = caffe(two, "train", "--solver=solver.prototxt", f"--snapshot=snap_iter_{drop}.solverstate")
    assert f"Iteration {drop}, lr = {after:g}" in resumed
    assert_same_weights(one / "snap_iter_20.caffemodel", two / "snap_iter_20.caffemodel")


def wait_for(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


LONG = SOLVER.replace("max_iter: 20", "max_iter: 100000").replace("snapshot: 10\n", "snapshot: 0\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_snapshot_and_the_run_resumes_exactly(tmp_path, number):
    folder = make_experiment(tmp_path, LONG.replace("snapshot: 0", "snapshot: 100000"))
    process = start(folder, "train", "--solver=solver.prototxt")
    wait_for(process, "Iteration 5,")
    process.send_signal(number)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Optimization stopped early." in log
    (state,) = folder.glob("snap_iter_*.solverstate")
    stopped = int(re.search(r"iter_(\d+)", state.name)[1])
    end = stopped + 4
    solver = LONG.replace("100000", str(end)).replace("snapshot: 0", "snapshot: 100000")
    (folder / "solver.prototxt").write_text(solver)
    caffe(folder, "train", "--solver=solver.prototxt", f"--snapshot={state.name}")
    other = make_experiment(tmp_path / "other", solver)
    caffe(other, "train", "--solver=solver.prototxt")
    assert_same_weights(folder / f"snap_iter_{end}.caffemodel", other / f"snap_iter_{end}.caffemodel")


def test_sighup_snapshots_and_continues(tmp_path):
    folder = make_experiment(tmp_path, LONG)
    process = start(folder, "train", "--solver=solver.prototxt")
    wait_for(process, "Iteration 5,")
    process.send_signal(signal.SIGHUP)
    seen = wait_for(process, "Snapshotting solver state")
    wait_for(process, "Iteration 8,")
    assert process.poll() is None, "".join(seen)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert len(list(folder.glob("snap_iter_*.solverstate"))) == 2


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(tmp_path, second):
    """Even in the middle of a computation that no Python code interrupts."""
    folder = make_experiment(tmp_path, LONG)
    layer = 'layer { name: "p" type: "Python" bottom: "ip" python_param { module: "endless" layer: "Endless" } }'
    (folder / "net.prototxt").write_text((folder / "net.prototxt").read_text() + layer)
    (folder / "endless.py").write_text(
        "import caffe, os, signal\n"
        "class Endless(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): pass\n"
        "    def forward(self, bottom, top):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('stops after this iteration', flush=True)\n"
        "        sum(range(10**13))\n"
        "    def backward(self, top, propagate_down, bottom): pass\n"
    )
    process = start(folder, "train", "--solver=solver.prototxt", "--allow_python_layers")
    wait_for(process, "stops after this iteration")
    process.send_signal(second)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == -second and "Traceback" not in log
    assert not list(folder.glob("snap_iter_*"))


def test_signal_effects_can_be_changed(tmp_path):
    folder = make_experiment(tmp_path, LONG)
    process = start(folder, "train", "--solver=solver.prototxt", "--sigint_effect=none", "-sighup_effect=stop")
    wait_for(process, "Iteration 3,")
    process.send_signal(signal.SIGINT)
    wait_for(process, "Iteration ")
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_no_line_of_a_log_is_empty(straight):
    _, log = straight
    assert "" not in log.splitlines(), "BVLC's parse_log.py ends with IndexError at one, after a resume"


def test_scoring_gives_the_solvers_own_numbers(straight):
    folder, _ = straight
    # max_iter on a multiple of test_interval: the run ends with a test of the weights it snapshots.
    solver = SOLVER.replace("max_iter: 20", "max_iter: 18").replace('"snap"', '"eighteen"')
    (folder / "eighteen.prototxt").write_text(solver)
    eighteen = caffe(folder, "train", "--solver=eighteen.prototxt")
    tested = caffe(folder, "test", "--model=net.prototxt", "--weights=eighteen_iter_18.caffemodel", "--iterations=3")
    expected = re.findall(r"Test net output #\d: (\w+) = ([\d.]+)", eighteen)[-2:]
    assert len(expected) == 2
    for name, value in expected:
        assert re.search(rf"\] {name} = {re.escape(value)}( |$)", tested, re.M), (name, value, tested)
    assert re.search(r"\] Batch 2, accuracy = [\d.]+$", tested, re.M)


def test_finetuning_ignores_other_layers(straight, tmp_path):
    source, _ = straight
    folder = make_experiment(tmp_path)
    net = (folder / "net.prototxt").read_text().replace('"ip"', '"other"')
    (folder / "net.prototxt").write_text(net)
    (folder / "a.caffemodel").write_bytes((source / "snap_iter_20.caffemodel").read_bytes())
    log = caffe(folder, "train", "--solver=solver.prototxt", "--weights=a.caffemodel")
    assert "Finetuning from a.caffemodel" in log and "Ignoring source layer ip" in log


def test_timing_names_every_layer(straight):
    folder, _ = straight
    log = caffe(folder, "time", "--model=net.prototxt", "--iterations=2")
    for name in ("data", "conv", "relu", "norm", "pool", "drop", "ip", "loss"):
        for direction in ("forward", "backward"):
            assert re.search(rf"\] +{name}\t{direction}: [\d.e-]+ ms\.$", log, re.M), name
    assert re.search(r"Average Forward-Backward: [\d.]+ ms", log)


def test_without_a_gpu_it_warns_and_continues(straight):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    folder, _ = straight
    assert "No CUDA device is available" in caffe(folder, "device_query", "-gpu", "all")
    log = caffe(folder, "time", "--model=net.prototxt", "--iterations=1", "--gpu=0")
    assert "No CUDA device is available: running on the CPU." in log


def test_deterministic_makes_no_difference_on_the_cpu(straight, tmp_path):
    whole, log = straight
    folder = make_experiment(tmp_path)
    again = caffe(folder, "train", "--solver=solver.prototxt", "--deterministic", "--gpu=0")
    assert displayed(again) == displayed(log)
    assert_same_weights(folder / "snap_iter_20.caffemodel", whole / "snap_iter_20.caffemodel")


BAD = {
    "no solver": (["train"], "Need a solver definition to train"),
    "missing file": (["train", "--solver=none.prototxt"], "Could not open file none.prototxt"),
    "both": (["train", "--solver=solver.prototxt", "--snapshot=a", "--weights=b"], "but not both"),
    "model as snapshot": (
        ["train", "--solver=solver.prototxt", "--snapshot=snap_iter_10.caffemodel"],
        "snap_iter_10.caffemodel is a model: --snapshot takes a .solverstate",
    ),
    "no snapshot": (["train", "--solver=solver.prototxt", "--snapshot=x.solverstate"], "open file x.solverstate"),
    "bad gpu": (["train", "--solver=solver.prototxt", "--gpu=first"], "--gpu first: give device numbers"),
    "no weights": (["test", "--model=net.prototxt"], "Need model weights to score"),
    "unknown flag": (["train", "--solvr=x"], "unknown command line flag 'solvr'; did you mean solver?"),
    "unknown command": (["trian"], "unknown command 'trian'; did you mean train?"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_one_line(straight, case):
    arguments, message = BAD[case]
    folder, _ = straight
    log = caffe(folder, *arguments, status=1)
    assert message in log and "Traceback" not in log


EDITS = {
    "unknown field": ("net.prototxt", "num_output: 6", "num_outputs: 6", "no field 'num_outputs'. Did you mean num_output"),
    "unknown type": ("net.prototxt", '"Pooling"', '"Poolin"', "unknown layer type: Poolin. Did you mean Pooling"),
    "missing lmdb": ("net.prototxt", '"train_lmdb"', '"nowhere"', "Data source nowhere is not an LMDB"),
    "crop too large": ("net.prototxt", "crop_size: 9", "crop_size: 13", "smaller than crop_size 13"),
    "unknown policy": ("solver.prototxt", '"fixed"', '"fixd"', ": unknown learning rate policy: fixd. Did you mean fixed"),
    "unknown solver": ("solver.prototxt", "test_iter", 'type: "SDG" test_iter', ": unknown solver type: SDG. Did you mean SGD"),
    "no folder": ("solver.prototxt", '"snap"', '"nowhere/snap"', ": Cannot write to snapshot prefix 'nowhere/snap'"),
    "other mean": ("net.prototxt", "mean_value: 120", 'mean_file: "none.binaryproto"', "open file none.binaryproto"),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_a_wrong_prototxt_is_named(tmp_path, case):
    name, old, new, message = EDITS[case]
    folder = make_experiment(tmp_path)
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    log = caffe(folder, "train", "--solver=solver.prototxt", status=1)
    last = log.rstrip().splitlines()[-1]
    assert re.match(r"F\d{4} ", last) and message in last and "Traceback" not in log
    assert not list(folder.glob("snap*"))


def test_a_python_layer_runs_only_when_allowed(tmp_path):
    net = """
    layer { name: "p" type: "Python" top: "x" python_param { module: "code_of_mine" layer: "Ones" } }
    layer { name: "r" type: "ReLU" bottom: "x" top: "y" }"""
    (tmp_path / "code_of_mine.py").write_text(
        "import caffe\n"
        "class Ones(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(2, 3)\n"
        "    def forward(self, bottom, top): top[0].data[...] = 1\n"
        "    def backward(self, top, propagate_down, bottom): pass\n"
    )
    (tmp_path / "net.prototxt").write_text(net)
    refused = caffe(tmp_path, "time", "--model=net.prototxt", "--iterations=1", status=1)
    assert "code_of_mine.Ones" in refused and "--allow_python_layers" in refused
    caffe(tmp_path, "time", "--model=net.prototxt", "--iterations=1", "--allow_python_layers")
