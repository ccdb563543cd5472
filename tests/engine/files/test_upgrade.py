"""Old forms of files become today's: V1 layers, inputs, transformations, solver types."""

import pytest
from caffe import PrototxtError
from caffe._files import prototxt, upgrade
from caffe.proto import caffe_pb2

# The registry of Caffe 1.0 (../../../shared/caffe-facts.md has the list).
TYPES = """AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data
Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss Im2col
ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN MemoryData MultinomialLogisticLoss PReLU Parameter
Pooling Power Python RNN ReLU Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax
SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData""".split()


def net(text):
    return upgrade.upgrade_net(prototxt.parse(text, caffe_pb2.NetParameter(), "old"), "old")


def test_every_v1_type_has_its_name():
    old = [v.name for v in caffe_pb2.V1LayerParameter.LayerType.DESCRIPTOR.values if v.name != "NONE"]
    assert len(old) == 39
    upgraded = {name: net(f"layers {{ type: {name} }}").layer[0].type for name in old}
    assert set(upgraded.values()) <= set(TYPES) and len(set(upgraded.values())) == 39
    for name, new in upgraded.items():
        if name != "SOFTMAX_LOSS":
            assert new.upper() == name.replace("_", "")
    assert upgraded["SOFTMAX_LOSS"] == "SoftmaxWithLoss"
    assert upgraded["INNER_PRODUCT"] == "InnerProduct" and upgraded["HDF5_DATA"] == "HDF5Data"


def test_v1_layer():
    """The NIN of the Model Zoo is written like this."""
    upgraded = net("""
        name: "nin"
        layers { bottom: "data" top: "conv1" name: "conv1" type: CONVOLUTION blobs_lr: 1 blobs_lr: 2
                 weight_decay: 1. weight_decay: 0.
                 convolution_param { num_output: 192 pad: 2 kernel_size: 5 weight_filler { type: "gaussian" std: 0.05 } }
                 include: { phase: TRAIN } loss_weight: 0 }
        layers { name: "shared" type: INNER_PRODUCT bottom: "conv1" top: "ip" param: "w" param: "" blob_share_mode: PERMISSIVE
                 blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } }
    """)
    assert not upgraded.layers and upgraded.name == "nin"
    conv, ip = upgraded.layer
    assert (conv.name, conv.type, conv.bottom[0], conv.top[0]) == ("conv1", "Convolution", "data", "conv1")
    assert [(p.lr_mult, p.decay_mult) for p in conv.param] == [(1, 1), (2, 0)]
    assert conv.convolution_param.num_output == 192 and list(conv.convolution_param.pad) == [2]
    assert conv.include[0].phase == caffe_pb2.TRAIN and list(conv.loss_weight) == [0]
    assert [p.name for p in ip.param] == ["w", ""]
    assert ip.param[0].share_mode == caffe_pb2.ParamSpec.PERMISSIVE
    assert not ip.param[0].HasField("lr_mult")
    assert list(ip.blobs[0].data) == [1, 2]


def test_v1_equals_v2():
    old = net(
        'layers { name: "p" type: POOLING bottom: "a" top: "b" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }'
    )
    new = net(
        'layer { name: "p" type: "Pooling" bottom: "a" top: "b" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }'
    )
    assert old == new


@pytest.mark.parametrize("kind, field", [("DATA", "data_param"), ("IMAGE_DATA", "image_data_param")])
def test_transformation_moves_to_its_own_message(kind, field):
    (layer,) = net(
        f"layers {{ type: {kind} {field} {{ batch_size: 5 scale: 0.5 mean_file: 'm' crop_size: 48 mirror: true }} }}"
    ).layer
    transform = layer.transform_param
    assert (transform.scale, transform.mean_file, transform.crop_size, transform.mirror) == (0.5, "m", 48, True)
    assert getattr(layer, field).batch_size == 5 and not getattr(layer, field).HasField("crop_size")


def test_inputs_become_a_layer_in_front():
    by_dim = net('input: "a" input: "b" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 '
                 'input_dim: 5 input_dim: 6 input_dim: 7 input_dim: 8 layer { name: "r" type: "ReLU" }')  # fmt: skip
    by_shape = net('input: "a" input: "b" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 } '
                   'input_shape { dim: 5 dim: 6 dim: 7 dim: 8 } layer { name: "r" type: "ReLU" }')  # fmt: skip
    assert by_dim == by_shape and not by_dim.input
    assert [layer.type for layer in by_dim.layer] == ["Input", "ReLU"]
    assert list(by_dim.layer[0].top) == ["a", "b"]
    assert [list(s.dim) for s in by_dim.layer[0].input_param.shape] == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_only_v1_layers_have_old_transformations():
    """Caffe reads no data_param.crop_size in a current layer, so no file relies on it."""
    (layer,) = net("layer { type: 'Data' data_param { crop_size: 5 } }").layer
    assert not layer.HasField("transform_param") and layer.data_param.crop_size == 5


def test_an_input_without_shape_says_nothing():
    """Weight files of 2014 have them."""
    upgraded = net("input: 'data' layer { name: 'r' type: 'ReLU' }")
    assert not upgraded.input and [layer.type for layer in upgraded.layer] == ["ReLU"]


def test_input_shape_takes_precedence_over_input_dim():
    (layer,) = net("input: 'a' input_shape { dim: 7 } input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4").layer
    assert [list(shape.dim) for shape in layer.input_param.shape] == [[7]]


@pytest.mark.parametrize(
    "text, prefix",
    [
        ("", "models/lenet_solver"),
        ('snapshot_prefix: "runs/a"', "runs/a"),
        ('snapshot_prefix: "runs"', "runs/lenet_solver"),
        ('snapshot_prefix: "runs/"', "runs/lenet_solver"),
    ],
)
def test_snapshots_are_named_after_the_solver(text, prefix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "lenet_solver.prototxt").write_text(text)
    assert prototxt.read_solver_param("models/lenet_solver.prototxt").snapshot_prefix == prefix


@pytest.mark.parametrize(
    "text, shapes",
    [
        ("input: 'a' input_shape { dim: 5 dim: 7 } input_shape { dim: 3 }", [[5, 7]]),
        ("input: 'a' " + " ".join(f"input_dim: {n}" for n in (2, 3, 4, 5, 6, 7)), [[2, 3, 4, 5]]),
        ("input: 'a' " + " ".join(f"input_dim: {n}" for n in (2, 3, 4, 5, 6, 7, 8, 9)), [[2, 3, 4, 5]]),
    ],
)
def test_shapes_beyond_the_inputs_are_ignored(text, shapes):
    (layer,) = net(text).layer
    assert [list(shape.dim) for shape in layer.input_param.shape] == shapes


def test_batch_norm_of_old_files_is_not_trained():
    (layer,) = net('layer { type: "BatchNorm" ' + 'param { name: "m" lr_mult: 2 decay_mult: 1 } ' * 3 + "}").layer
    assert [(spec.name, spec.lr_mult, spec.decay_mult) for spec in layer.param] == [("m", 0, 0)] * 3


@pytest.mark.parametrize("old, new", [("SGD", "SGD"), ("NESTEROV", "Nesterov"), ("ADAGRAD", "AdaGrad"),
                                      ("RMSPROP", "RMSProp"), ("ADADELTA", "AdaDelta"), ("ADAM", "Adam")])  # fmt: skip
def test_solver_types(old, new):
    param = prototxt.parse(f"solver_type: {old}", caffe_pb2.SolverParameter(), "s")
    upgraded = upgrade.upgrade_solver(param, "s")
    assert upgraded.type == new and not upgraded.HasField("solver_type")


@pytest.mark.parametrize(
    "text, message",
    [
        ("layer { } layers { type: RELU }", "both 'layer' and 'layers'"),
        ("layers { name: 'x' }", "'x' has no type"),
        ("input: 'a' input_dim: 1 input_dim: 2", "every input needs .* four input_dim; a: 2 input_dim"),
        (
            "input: 'a' input: 'b' input_shape { dim: 1 }",
            "every input needs an input_shape .*; a, b: 1 input_shape",
        ),
    ],
)
def test_refused(text, message):
    with pytest.raises(PrototxtError, match=message):
        net(text)


def test_solver_type_twice():
    param = prototxt.parse('solver_type: SGD type: "SGD"', caffe_pb2.SolverParameter(), "s")
    with pytest.raises(PrototxtError, match="both solver_type and type"):
        upgrade.upgrade_solver(param, "s")
