"""Pictures of nets: what is in the graph, and that graphviz takes it."""

import shutil
import sys

import pytest
from caffe import TEST, TRAIN, CaffeError, PrototxtError
from caffe import __main__ as command
from caffe._files import prototxt
from caffe.proto import caffe_pb2

pytest.importorskip("pydot")

from caffe import draw  # noqa: E402  (needs pydot)

NET = """
    name: "a net"
    layer { name: "data" type: "Data" top: "data" top: "label" data_param { batch_size: 7 } include { phase: TRAIN } }
    layer { name: "data" type: "Input" top: "data" include { phase: TEST } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 0.5 }
            convolution_param { num_output: 11 kernel_size: 3 kernel_size: 5 pad: 1 } }
    layer { name: "relu|{x}" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
            pooling_param { pool: AVE kernel_h: 2 kernel_w: 4 stride: 2 } }
    layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 13 } }
"""


@pytest.fixture
def net():
    return prototxt.parse(NET, caffe_pb2.NetParameter(), "test")


def labels(graph):
    return {node.get_name(): node.get("label") for node in graph.get_nodes()}


def edges(graph):
    return [(edge.get_source(), edge.get_destination(), edge.get("label")) for edge in graph.get_edges()]


def test_nodes_and_edges(net):
    graph = draw.get_pydot_graph(net, "LR", phase=TRAIN)
    assert labels(graph) == {
        '"data_Data_0"': r'"data\n(Data)"',
        '"data_blob"': '"data"',
        '"label_blob"': '"label"',
        '"conv_Convolution_2"': r'"conv\n(Convolution)\nkernel size: 3x5\nstride: 1\npad: 1"',
        '"conv_blob"': '"conv"',
        '"relu|{x}_ReLU_3"': r'"relu\|\{x\}\n(ReLU)"',
        '"pool_Pooling_4"': r'"pool\n(Pooling AVE)\nkernel size: 2x4\nstride: 2\npad: 0"',
        '"pool_blob"': '"pool"',
        '"ip_InnerProduct_5"': r'"ip\n(InnerProduct)"',
        '"ip_blob"': '"ip"',
    }
    assert edges(graph) == [
        ('"data_Data_0"', '"data_blob"', "Batch 7"),
        ('"data_Data_0"', '"label_blob"', "Batch 7"),
        ('"data_blob"', '"conv_Convolution_2"', '""'),
        ('"conv_Convolution_2"', '"conv_blob"', "11"),
        ('"conv_blob"', '"relu|{x}_ReLU_3"', '""'),
        ('"relu|{x}_ReLU_3"', '"conv_blob"', '""'),
        ('"conv_blob"', '"pool_Pooling_4"', '""'),
        ('"pool_Pooling_4"', '"pool_blob"', '""'),
        ('"pool_blob"', '"ip_InnerProduct_5"', '""'),
        ('"ip_InnerProduct_5"', '"ip_blob"', "13"),
    ]


def test_phases(net):
    assert '"data_Input_1"' in labels(draw.get_pydot_graph(net, "LR", phase=TEST))
    assert {'"data_Input_1"', '"data_Data_0"'} <= set(labels(draw.get_pydot_graph(net, "LR")))
    net.layer[0].exclude.add(phase=TEST)
    with pytest.raises(PrototxtError, match="not both"):
        draw.get_pydot_graph(net, "LR", phase=TRAIN)


def test_options(net):
    graph = draw.get_pydot_graph(net, "TB", label_edges=False, display_lrm=True)
    assert labels(graph)['"conv_Convolution_2"'].endswith(' pad: 1 lr mult: 0.5, 1.0"')
    assert {label for *_, label in edges(graph)} == {'""'}
    with pytest.raises(ValueError, match="ReLU layers do not have"):
        draw.get_layer_lr_mult(net.layer[3])
    net.layer[2].param.extend([caffe_pb2.ParamSpec()] * 2)
    with pytest.raises(ValueError, match="3 learning rate"):
        draw.get_layer_lr_mult(net.layer[2])


def test_old_nets_are_upgraded_and_left_as_they_were():
    old = prototxt.parse(
        'layers { name: "r" type: RELU bottom: "x" top: "y" } input: "x" input_dim: [1, 2, 3, 4]',
        caffe_pb2.NetParameter(),
        "test",
    )
    before = old.SerializeToString()
    assert '"x_blob"' in labels(draw.get_pydot_graph(old, "LR"))
    assert len(draw.get_pydot_graph(old, "LR").get_edges()) == 3
    assert old.SerializeToString() == before


def test_text_needs_no_graphviz(net, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    draw.draw_net_to_file(net, str(tmp_path / "net.raw"), "BT")
    assert (tmp_path / "net.raw").read_text().startswith('digraph "a net" {\nrankdir=BT;')
    with pytest.raises(CaffeError, match="apt install graphviz"):
        draw.draw_net_to_file(net, tmp_path / "net.png")
    assert not (tmp_path / "net.png").exists()


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_graphviz_draws_it(net, tmp_path, capfd):
    assert draw.draw_net(net, "LR").startswith(b"\x89PNG")
    draw.draw_net_to_file(net, str(tmp_path / "net.svg"))
    assert "kernel size: 3x5" in (tmp_path / "net.svg").read_text()
    with pytest.raises(CaffeError, match="could not draw the net as nonsense"):
        draw.draw_net(net, "LR", "nonsense")


class TestCommand:
    """caffe draw."""

    @pytest.fixture
    def drawn(self, tmp_path, monkeypatch, capfd, log_lines):  # which lets INFO lines through
        monkeypatch.chdir(tmp_path)
        (tmp_path / "net.prototxt").write_text(NET)

        def draw(*arguments):
            return command.main(["draw", "net.prototxt", *arguments]), capfd.readouterr().err

        return draw

    def test_text(self, drawn, tmp_path):
        assert drawn("net.dot", "--phase=TEST", "--display_lrm")[0] == 0
        text = (tmp_path / "net.dot").read_text()
        assert '"data_Input_1"' in text and '"data_Data_0"' not in text and "lr mult: 0.5, 1.0" in text

    @pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
    def test_picture(self, drawn, tmp_path):
        status, said = drawn("net.svg", "--rankdir=TB")
        assert status == 0 and said.endswith("Drawing net to net.svg\n")
        assert "(Pooling AVE)" in (tmp_path / "net.svg").read_text()

    def test_without_graphviz_the_text_is_written(self, drawn, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        status, said = drawn("net.png")
        assert status == 1 and not (tmp_path / "net.png").exists()
        assert "net.png: not drawn, because graphviz is not installed (Debian: apt install graphviz)" in said
        assert "`dot -Tpng net.dot -o net.png` draws it." in said
        assert (tmp_path / "net.dot").read_text().startswith('digraph "a net"')

    def test_no_format(self, drawn):
        status, said = drawn("picture")
        assert status == 1 and "give one, such as picture.png" in said

    def test_without_pydot(self, drawn, monkeypatch):
        monkeypatch.delitem(sys.modules, "caffe.draw")
        monkeypatch.setitem(sys.modules, "pydot", None)
        status, said = drawn("net.png")
        assert status == 1 and "caffe.draw needs the library pydot: pip install pydot" in said
