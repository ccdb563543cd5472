"""RNN, LSTM and LSTMUnit (Caffe's recurrent_layer.cpp, rnn_layer.cpp, lstm_layer.cpp, lstm_unit_layer.cpp)."""

import base64
import math

import numpy as np
import torch
import torch.nn.functional as F

from caffe._layers.base import Layer, register


class _Unit(torch.autograd.Function):
    """One step of an LSTM's cells: c = cont f c_prev + i g, h = o tanh(c).

    Caffe's gradient of the forget gate treats f' = cont f as if f' were the sigmoid itself. That is the
    derivative if cont is 0 or 1, as it should be.
    """

    @staticmethod
    def forward(ctx, cell, gates, cont):
        i, f, o = gates[..., : 3 * cell.shape[-1]].sigmoid().chunk(3, -1)
        g = gates[..., 3 * cell.shape[-1] :].tanh()
        f = torch.where(cont == 0, 0, cont * f)
        new = f * cell + i * g
        squashed = new.tanh()
        ctx.save_for_backward(cell, i, f, o, g, squashed)
        return new, o * squashed

    @staticmethod
    def backward(ctx, cell_gradient, hidden_gradient):
        cell, i, f, o, g, squashed = ctx.saved_tensors
        at_cell = cell_gradient + hidden_gradient * o * (1 - squashed * squashed)
        gates = (
            at_cell * g * i * (1 - i),
            at_cell * cell * f * (1 - f),
            hidden_gradient * squashed * o * (1 - o),
            at_cell * i * (1 - g * g),
        )
        return at_cell * f, torch.cat(gates, -1), None


@register("LSTMUnit")
class LSTMUnit(Layer):
    """One step of an LSTM's cells.

    Bottoms: cells (1, streams, outputs), the gates' inputs (1, streams, 4 * outputs) and cont (1, streams).
    The gates' order is input, forget, output, candidate. cont is 0 for a stream that starts again.
    Tops: the new cells and the new hidden state, (1, streams, outputs) each.
    """

    bottoms = (3, 3)
    tops = (2, 2)

    def top_shapes(self, bottom):
        cell, gates, cont = bottom
        if len(cell) != 3 or cell[0] != 1 or gates != (1, cell[1], 4 * cell[2]) or cont != (1, cell[1]):
            raise self.error(
                "bottoms must have the shapes (1, streams, outputs), (1, streams, 4 * outputs) and (1, streams), "
                f"not {cell}, {gates} and {cont}"
            )
        return [cell, cell]

    def allow_force_backward(self, index):
        return index != 2

    def forward(self, bottom, weights):
        cell, gates, cont = bottom
        return _Unit.apply(cell, gates, cont.detach()[..., None])


class Recurrent(Layer):
    """Base of RNN and LSTM: inputs, the weights of inputs and hidden state, the state between passes.

    Bottoms: x (steps, streams, ...) and cont (steps, streams), which is 0 at a sequence's start and otherwise
    1. The optional x_static (streams, ...) is the same at each step. With expose_hidden the state before the
    first step follows, (1, streams, num_output) each. Tops: the outputs (steps, streams, num_output), and
    with expose_hidden the state after the last step.

    As in real Caffe no gradient passes through exposed states. Without expose_hidden a pass continues from
    the end of the previous one. debug_info logs nothing, because there is no unrolled net here.

    Parameters (blobs): weights and bias for x, weights for x_static, weights for the hidden state.
    """

    states: int
    gates: int
    keeps_bottoms = (1,)

    @property
    def bottoms(self):
        least = 2 + self._exposed
        return least, least + 1

    @property
    def tops(self):
        return (1 + self._exposed,) * 2

    @property
    def _exposed(self) -> int:
        return self.states if self.param.recurrent_param.expose_hidden else 0

    def setup(self, bottom):
        param = self.param.recurrent_param
        self.outputs = param.num_output
        if self.outputs < 1:
            raise self.error("num_output must be 1 or more")
        self.steps = bottom[0][0] if bottom[0] else 0
        self.static = len(bottom) > 2 + self._exposed
        self._check(bottom)
        # Real Caffe ignores parameters from the prototxt here.
        del self.blobs[:]
        rows = self.gates * self.outputs
        self._weight(rows, math.prod(bottom[0][2:]))
        self._bias(rows)
        if self.static:
            self._weight(rows, math.prod(bottom[2][1:]))
        self._weight(rows, self.outputs)
        self._first: list[torch.Tensor] = []  # the state before this pass; [] means all zeros
        self._last: list[torch.Tensor] = []  # the state after this pass

    def _weight(self, rows: int, columns: int) -> None:
        self.add_blob(len(self.blobs), (rows, columns), self.param.recurrent_param.weight_filler)

    def _bias(self, rows: int) -> None:
        self.add_blob(len(self.blobs), (rows,), self.param.recurrent_param.bias_filler)

    def _check(self, bottom) -> None:
        x, cont = bottom[:2]
        if len(x) < 3:
            raise self.error(f"bottom 0 must have 3 axes or more (steps, streams, ...), not {len(x)}")
        if x[0] != self.steps:
            raise self.error(f"the number of steps changed from {self.steps} to {x[0]}")
        if cont != x[:2]:
            raise self.error(f"bottom 1 must have the shape (steps, streams) = {x[:2]}, not {cont}")
        if self.static and (len(bottom[2]) < 2 or bottom[2][0] != x[1]):
            raise self.error(f"bottom 2 must have the shape ({x[1]} streams, ...), not {bottom[2]}")
        for index in range(2 + self.static, len(bottom)):
            if bottom[index] != (1, x[1], self.outputs):
                raise self.error(f"bottom {index} must have the shape {(1, x[1], self.outputs)}, not {bottom[index]}")

    def top_shapes(self, bottom):
        self._check(bottom)
        steps, streams = bottom[0][:2]
        return [(steps, streams, self.outputs)] + [(1, streams, self.outputs)] * self._exposed

    def allow_force_backward(self, index):
        return index != 1

    def begin_pass(self):
        self._first = self._last

    def forward(self, bottom, weights):
        x, cont = bottom[0], bottom[1].detach()
        weights = list(weights)
        inputs = F.linear(x.flatten(2), weights.pop(0), weights.pop(0))
        if self.static:
            inputs = inputs + F.linear(bottom[2].flatten(1), weights.pop(0))
        if self._exposed:
            state = [each[0].detach() for each in bottom[2 + self.static :]]
        else:
            state = [self._fit(values, x) for values in self._first or [x.new_zeros(0)] * self.states]
        outputs = []
        for step in range(self.steps):
            output, state = self.step(inputs[step], cont[step][:, None], state, weights)
            outputs.append(output)
        self._last = [each.detach() for each in state]
        exposed = [each.detach()[None] for each in state] if self._exposed else []
        return [torch.stack(outputs), *exposed]

    def _fit(self, values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """A kept state for the streams of x; it becomes zero if x has more streams (Blob::Reshape)."""
        size = x.shape[1] * self.outputs
        if values.numel() < size:
            return x.new_zeros(x.shape[1], self.outputs)
        return values.to(x).flatten()[:size].reshape(x.shape[1], self.outputs)

    def step(self, inputs, cont, state, weights):
        """Compute one step.

        Args:
            inputs: the contributions of x and x_static, (streams, gates * num_output).
            cont: (streams, 1).
            state: list of (streams, num_output).
            weights: the weights after those of x and x_static.

        Returns:
            The output (streams, num_output) and the new state.
        """
        raise NotImplementedError

    def get_state(self):
        if self._exposed or not self._last:
            return None
        arrays = [np.ascontiguousarray(each.cpu().numpy(), "<f4") for each in self._last]
        return {"hidden": [base64.b64encode(array.tobytes()).decode() for array in arrays]}

    def set_state(self, state):
        arrays = [np.frombuffer(base64.b64decode(text), "<f4").copy() for text in state["hidden"]]
        self._last = [torch.from_numpy(array) for array in arrays]


@register("RNN")
class RNN(Recurrent):
    """h = tanh(W_hh cont h + W_xh x + b_h), output tanh(W_ho h + b_o).

    Parameters (blobs): W_xh, b_h, W_xh_static if there is x_static, W_hh, W_ho, b_o.
    """

    states = 1
    gates = 1

    def setup(self, bottom):
        super().setup(bottom)
        self._weight(self.outputs, self.outputs)
        self._bias(self.outputs)

    def step(self, inputs, cont, state, weights):
        of_hidden, of_output, bias = weights
        hidden = torch.tanh(F.linear(state[0] * cont, of_hidden) + inputs)
        return torch.tanh(F.linear(hidden, of_output, bias)), [hidden]


@register("LSTM")
class LSTM(Recurrent):
    """Long short-term memory; the output is the hidden state. See LSTMUnit for a step.

    Parameters (blobs): W_xc, b_c, W_xc_static if there is x_static, and W_hc. Their rows are in the order of
    the gates: input, forget, output, candidate. The state is (h, c).
    """

    states = 2
    gates = 4

    def step(self, inputs, cont, state, weights):
        hidden, cell = state
        cell, hidden = _Unit.apply(cell, F.linear(hidden * cont, weights[0]) + inputs, cont)
        return hidden, [hidden, cell]
