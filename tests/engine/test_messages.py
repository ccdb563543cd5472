"""Messages name the fault: the file of a net or solver, and the reason why a missing gradient is needed."""

import re
from pathlib import Path

import pytest
from caffe import TRAIN, CaffeError, Net, SGDSolver, get_solver
from caffe._commands import draw_net, summary

from tests.engine.command import caffe

DATA = (
    'layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param { '
    "shape { dim: 2 dim: 3 } shape { dim: 2 } } }\n"
)
NET = DATA + (
    'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }\n'
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }\n'
)
SOLVER = 'net: "some net.prototxt" base_lr: 1 max_iter: 1 snapshot_after_train: false '
FIXED = 'lr_policy: "fixed" '


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some net.prototxt").write_text(NET)
    return tmp_path


SOLVERS = {
    'lr_policy: "step"': 'lr_policy: "step" needs stepsize > 0',
    'lr_policy: "sigmoid"': 'lr_policy: "sigmoid" needs stepsize > 0',
    'lr_policy: "sigmoid" gamma: -1 stepsize: 3': 'lr_policy: "sigmoid" needs gamma >= 0',
    'lr_policy: "exp" gamma: -1': 'lr_policy: "exp" needs gamma >= 0',
    'lr_policy: "inv" gamma: -1': 'lr_policy: "inv" needs gamma >= 0',
    'lr_policy: "plateau"': 'lr_policy: "plateau" needs plateau_winsize > 0',
    'lr_policy: "stepp"': "unknown learning rate policy: stepp. Did you mean step",
    "": "unknown learning rate policy: (none)",
    FIXED + 'type: "Adm"': "unknown solver type: Adm. Did you mean Adam",
    FIXED + 'type: "AdaGrad" momentum: 0.9': "Momentum cannot be used with AdaGrad",
    FIXED + 'type: "RMSProp" momentum: 0.9': "Momentum cannot be used with RMSProp",
    FIXED + 'type: "RMSProp" rms_decay: 1': "rms_decay should lie between",
    FIXED + 'type: "Adam" momentum: 1': "Adam corrects for 1 - momentum^t",
    FIXED + 'weight_decay: 1 regularization_type: "L3"': "Unknown regularization type: L3",
    FIXED + "average_loss: 0": "average_loss should be 1 or more",
    FIXED + "iter_size: 0": "iter_size should be 1 or more",
    FIXED + "snapshot: 5 snapshot_prefix: 'nowhere/x'": "Cannot write to snapshot prefix",
    FIXED + "test_iter: 3": "test_interval must be 1 or more",
    FIXED + "test_net: 'some net.prototxt'": "test_iter must be specified",
    FIXED + "test_iter: 3 test_interval: 1 test_state {} test_state {}": "test_state must be unspecified",
    FIXED + "train_net: 'some net.prototxt'": "SolverParameter must specify a train net",
}


@pytest.mark.parametrize("text, message", SOLVERS.items())
def test_what_is_wrong_with_a_solver_names_its_file(folder, text, message):
    (folder / "my solver.prototxt").write_text(SOLVER + text)
    with pytest.raises(CaffeError, match="^my solver.prototxt: " + re.escape(message)):
        get_solver("my solver.prototxt").step(1)


@pytest.mark.parametrize("text", ['lr_policy: "step"', FIXED + "iter_size: 0", FIXED + 'type: "Adm"'])
def test_the_command_names_the_solvers_file(folder, text):
    (folder / "my solver.prototxt").write_text(SOLVER + text)
    assert "my solver.prototxt: " in caffe(folder, "train", "--solver=my solver.prototxt", status=1).splitlines()[-1]


def test_a_class_of_solvers_names_the_file(folder):
    (folder / "my solver.prototxt").write_text(SOLVER + 'lr_policy: "step"')
    with pytest.raises(CaffeError, match="^my solver.prototxt: "):
        SGDSolver("my solver.prototxt").step(1)


NETS = {
    DATA + 'layer { name: "a" type: "Relu" bottom: "data" top: "a" }': "Layer 'a': unknown layer type",
    DATA + 'layer { name: "a" type: "ReLU" bottom: "dat" top: "a" }': "Unknown bottom blob 'dat'",
    DATA + 'layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" }': "Layer 'a' (InnerProduct): num_output",
    DATA
    + 'layer { name: "a" type: "ReLU" bottom: "data" top: "a" include {} exclude {} }': "Layer 'a': specify either",
    NET.replace("num_output: 4", 'num_output: 4 weight_filler { type: "gauss" }'): "Layer 'ip' (InnerProduct): ",
    NET.replace("num_output: 4", "num_output: 4 axis: 7"): "Layer 'ip' (InnerProduct): axis 7 is out of range",
}


@pytest.mark.parametrize("text, message", NETS.items())
def test_what_is_wrong_with_a_net_names_its_file(folder, text, message):
    (folder / "some net.prototxt").write_text(text)
    (folder / "my solver.prototxt").write_text(SOLVER + FIXED)
    makers = [lambda: Net("some net.prototxt", TRAIN), lambda: get_solver("my solver.prototxt")]
    if "gauss" not in text:  # summary fills nothing
        makers.append(lambda: summary.summary("some net.prototxt", ["TRAIN"]))
    if "exclude" in text:
        makers.append(lambda: draw_net.draw("some net.prototxt", "net.dot", "LR", "TRAIN", False))
    for make in makers:
        with pytest.raises(CaffeError, match="^some net.prototxt: " + re.escape(message)):
            make()


def test_an_inline_net_is_the_solvers(folder):
    (folder / "my solver.prototxt").write_text(f"net_param {{ {next(iter(NETS))} }} base_lr: 1 {FIXED}")
    with pytest.raises(CaffeError, match="^my solver.prototxt: Layer 'a': unknown layer type"):
        get_solver("my solver.prototxt")


LACKING = {
    "ArgMax": ('bottom: "ip" top: "y"', "what it compares"),
    "Threshold": ('bottom: "ip" top: "y"', "a threshold's input"),
    "Embed": ('bottom: "label" top: "y" embed_param { input_dim: 5 num_output: 6 }', "indices"),
    "Filter": ('bottom: "ip" bottom: "label" top: "y"', "the selector"),
    "BatchReindex": ('bottom: "ip" bottom: "label" top: "y"', "the indices"),
}


@pytest.mark.parametrize("propagate", [None, "false"])
@pytest.mark.parametrize("kind", LACKING)
def test_a_gradient_that_force_backward_asks_for(folder, kind, propagate):
    """Real Caffe ends at the first backward pass of either, whatever propagate_down says."""
    wires, what = LACKING[kind]
    down = f"propagate_down: {propagate} " * wires.count("bottom") if propagate else ""
    layer = f'layer {{ name: "best" type: "{kind}" {wires} {down}}}\n'
    (folder / "some net.prototxt").write_text("force_backward: true\n" + NET + layer)
    (folder / "my solver.prototxt").write_text(SOLVER + FIXED)
    message = (
        f"Layer 'best' ({kind}): there is no gradient with respect to {what}; force_backward: true asks for it, "
        "whatever propagate_down says: remove force_backward from the net."
    )
    solver = get_solver("my solver.prototxt")
    for keep_blobs in (True, False):  # as pycaffe has it, and as the command
        solver.keep_blobs = keep_blobs
        with pytest.raises(CaffeError, match=re.escape(message)):
            solver.step(1)


@pytest.mark.parametrize("keep_blobs", [True, False])
def test_a_gradient_that_the_loss_asks_for_can_be_stopped(folder, keep_blobs):
    layers = (
        'layer { name: "best" type: "Threshold" bottom: "ip" top: "y" %s }\n'
        'layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }\n'
    )
    for down, fails in (("", True), ("propagate_down: false", False)):
        (folder / "some net.prototxt").write_text(NET + layers % down)
        (folder / "my solver.prototxt").write_text(SOLVER + FIXED)
        solver = get_solver("my solver.prototxt")
        solver.keep_blobs = keep_blobs
        if fails:
            with pytest.raises(CaffeError, match="a threshold's input; propagate_down: false stops it there"):
                solver.step(1)
        else:
            solver.step(1)
            assert solver.iter == 1
