"""Any text, rules and wiring as a prototxt: valid nets are read as written, all others are refused."""

import pytest
from caffe import NetError, PrototxtError
from caffe._files.prototxt import parse, read_net_param
from caffe._net.wiring import filter_net, insert_splits
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from .any_input import file_of, messages, quick


class TestPrototxt:
    @quick
    @given(messages(caffe_pb2.NetParameter))
    def test_a_net_written_is_read(self, net):
        assert parse(text_format.MessageToString(net), caffe_pb2.NetParameter(), "here") == net

    @quick
    @given(messages(caffe_pb2.SolverParameter), st.booleans())
    def test_a_solver_written_is_read(self, solver, on_one_line):
        text = text_format.MessageToString(solver, as_one_line=on_one_line)
        assert parse(text, caffe_pb2.SolverParameter(), "here") == solver

    @quick
    @given(st.text())
    def test_any_text(self, text):
        self.reads_or_refuses(text.encode(errors="surrogatepass"))

    @quick
    @given(st.binary())
    def test_any_bytes(self, content):
        self.reads_or_refuses(content)

    words = st.sampled_from(
        'layer layers { } < > [ ] : ; , # \n name type "x" \'y\' "unended \\ 1 -1 1.5 1e999 nan inf 0x7 08 true t '
        "blobs shape dim input input_dim convolution_param num_output kernel_size 99999999999999999999 \0 \xe9".split(
            " "
        )
    )

    @settings(quick, max_examples=300)
    @given(st.lists(words, max_size=25))
    def test_any_words(self, words):
        self.reads_or_refuses(" ".join(words).encode())

    @pytest.mark.parametrize(
        "opening", ["layer {", "layers { layer {", "net_param {", "a {", "[type.googleapis.com/x] {"]
    )
    def test_any_depth(self, opening):
        self.reads_or_refuses((opening * 20_000).encode())

    def reads_or_refuses(self, content: bytes) -> None:
        with file_of(content, "net.prototxt") as path:
            try:
                assert isinstance(read_net_param(path), caffe_pb2.NetParameter)
            except PrototxtError as error:
                assert str(path) in str(error)


# ---- nets ----------------------------------------------------------------------------------------------

stages = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)
states = st.builds(
    caffe_pb2.NetState, phase=st.sampled_from([caffe_pb2.TRAIN, caffe_pb2.TEST]), level=st.integers(-2, 2), stage=stages
)


@st.composite
def rules(draw):
    rule = caffe_pb2.NetStateRule(stage=draw(stages), not_stage=draw(stages))
    for name, values in (
        ("phase", st.sampled_from([caffe_pb2.TRAIN, caffe_pb2.TEST])),
        ("min_level", st.integers(-2, 2)),
        ("max_level", st.integers(-2, 2)),
    ):
        value = draw(st.none() | values)
        if value is not None:
            setattr(rule, name, value)
    return rule


def is_met(rule, state) -> bool:
    """The rule in other words than the engine's."""
    conditions = [
        not rule.HasField("phase") or rule.phase == state.phase,
        not rule.HasField("min_level") or rule.min_level <= state.level,
        not rule.HasField("max_level") or state.level <= rule.max_level,
        all(stage in state.stage for stage in rule.stage),
        not any(stage in state.stage for stage in rule.not_stage),
    ]
    return all(conditions)


class TestNets:
    @settings(quick, max_examples=200)
    @given(states, st.lists(st.tuples(st.booleans(), st.lists(rules(), max_size=3)), max_size=4))
    def test_rules(self, state, layers):
        net = caffe_pb2.NetParameter(state=state)
        kept = []
        for index, (include, of) in enumerate(layers):
            layer = net.layer.add(name=str(index))
            (layer.include if include else layer.exclude).extend(of)
            met = [is_met(rule, state) for rule in of]
            if not of or (any(met) if include else not any(met)):
                kept.append(layer.name)
        assert [layer.name for layer in filter_net(net).layer] == kept

    @settings(quick, max_examples=200)
    @given(st.data())
    def test_splits(self, data):
        """Every blob has one user, and every layer gets what it got: traced back through the Splits."""
        net = caffe_pb2.NetParameter()
        blobs: list[str] = []
        for index in range(data.draw(st.integers(1, 7))):
            bottoms = data.draw(st.lists(st.sampled_from(blobs), max_size=3)) if blobs else []
            in_place = bottoms[:1] if data.draw(st.booleans()) else []
            tops = in_place + [f"t{index}_{n}" for n in range(data.draw(st.integers(0, 2)))]
            layer = net.layer.add(name=f"l{index}", type="Anything", bottom=bottoms, top=tops)
            if tops and data.draw(st.booleans()):
                layer.loss_weight.extend([1.0] * len(tops))
            blobs += [top for top in tops if top not in blobs]
        split = insert_splits(net)
        assert [layer.name for layer in split.layer if layer.type != "Split"] == [layer.name for layer in net.layer]
        assert self.sources(net) == self.sources(split)
        users: dict[tuple[str, int], int] = {}
        producer: dict[str, tuple[str, int]] = {}
        for layer in split.layer:
            for blob in layer.bottom:
                users[producer[blob]] = users.get(producer[blob], 0) + 1
            producer |= {top: (layer.name, n) for n, top in enumerate(layer.top)}
        assert all(count == 1 for count in users.values())

    @staticmethod
    def sources(net) -> list[tuple[str, list[tuple[str, int]]]]:
        """Each layer except Splits, with the (layer, top) behind each of its bottoms."""
        origin: dict[str, tuple[str, int]] = {}
        found = []
        for layer in net.layer:
            bottoms = [origin[blob] for blob in layer.bottom]
            if layer.type == "Split":
                origin |= dict.fromkeys(layer.top, bottoms[0])
            else:
                found.append((layer.name, bottoms))
                origin |= {top: (layer.name, n) for n, top in enumerate(layer.top)}
        return found

    @quick
    @given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
    def test_blobs_that_nobody_made(self, bottoms, tops):
        net = caffe_pb2.NetParameter()
        net.layer.add(name="x", type="Anything", bottom=bottoms, top=tops)
        if bottoms:
            with pytest.raises(NetError, match="Unknown bottom blob"):
                insert_splits(net)
        else:
            assert len([layer for layer in insert_splits(net).layer if layer.type != "Split"]) == 1
