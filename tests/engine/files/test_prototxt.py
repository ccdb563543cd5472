"""Errors of a prototxt say where, what and the nearest known name."""

import pytest
from caffe import PrototxtError
from caffe._files import prototxt


def write(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return path


def test_unknown_field_names_place_and_nearest(tmp_path):
    path = write(tmp_path, 'name: "x"\nlayer {\n  name: "c"\n  convolution_param { kernal_size: 3 }\n}\n')
    with pytest.raises(PrototxtError) as error:
        prototxt.read_net_param(path)
    assert str(error.value).startswith(f"{path}:4:")
    assert "ConvolutionParameter has no field 'kernal_size'. Did you mean kernel_size" in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_field_of_a_solver(tmp_path):
    path = write(tmp_path, "base_lr: 0.1\nbase_rl: 0.1\n")
    with pytest.raises(PrototxtError, match=r":2:1: SolverParameter has no field 'base_rl'. Did you mean base_lr"):
        prototxt.read_solver_param(path)


@pytest.mark.parametrize(
    "text, place",
    [
        ("layer { name: 3 }", "1:15"),
        ("\nlayer {", "2:"),
        ("layer { pooling_param { pool: MEAN } }", "1:"),
        ("name: 'a' name: 'b'", "1:"),
        ("layer { dropout_param { dropout_ratio: half } }", "1:"),
        ("}", "1:1"),
    ],
)
def test_what_does_not_parse(tmp_path, text, place):
    path = write(tmp_path, text)
    with pytest.raises(PrototxtError) as error:
        prototxt.read_net_param(path)
    assert str(error.value).startswith(f"{path}:{place}")


@pytest.mark.parametrize(
    "content",
    [
        b"name\xff: 'x'",
        b"name: '\xfe'",
        b"\xff",
        b"layers { type: \xff }",
        b"layers { type: '\xff' }",
        b"layer { phase: \xe9 }",
    ],
)
def test_bytes_that_are_no_text(tmp_path, content):
    (tmp_path / "net.prototxt").write_bytes(content)
    with pytest.raises(PrototxtError, match="net.prototxt:"):
        prototxt.read_net_param(tmp_path / "net.prototxt")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\n layer { pooling_param { pool: max } }", r":2:32: PoolingParameter.PoolMethod has no value max. .*MAX\?$"),
        ("name: '数据'".encode("gbk"), ":1:7: the string is no UTF-8 text. .*iconv -f GBK"),
        (b'name: "C:\\users"', ":1:7: the string has a backslash that begins no escape sequence"),
        (b"\xef\xbb\xbfname: 'x'", ":1:1: the file begins with a byte order mark"),
    ],
)
def test_other_forms_that_users_write(tmp_path, content, message):
    (tmp_path / "net.prototxt").write_bytes(content)
    with pytest.raises(PrototxtError, match=message):
        prototxt.read_net_param(tmp_path / "net.prototxt")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(PrototxtError, match="Could not open file .*gone.prototxt: No such file"):
        prototxt.read_net_param(tmp_path / "gone.prototxt")
    with pytest.raises(PrototxtError, match="Could not open file"):
        prototxt.read_net_param(tmp_path)


def test_comments_bytes_and_both_brackets(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'# caf\xe9 in Latin-1\nname: "n" layer: { name: "a" top: ["x", "y"] } layer < name: "b" >')
    net = prototxt.read_net_param(path)
    assert [layer.name for layer in net.layer] == ["a", "b"] and list(net.layer[0].top) == ["x", "y"]


def test_nearest():
    assert prototxt.nearest("RELU", ["ReLU", "PReLU", "Pooling"]).startswith(" Did you mean ReLU")
    assert prototxt.nearest("qqq", ["ReLU"]) == ""
