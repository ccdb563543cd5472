"""BatchNorm (Caffe's batch_norm_layer.cpp)."""

import torch
from torch.autograd.function import once_differentiable

from caffe._layers.base import Layer, Precision, register
from caffe.proto import caffe_pb2

_BLOCK = 1 << 17  #: numbers of a block: 0.5 MB, which stay in the cache between operations


def _sums_lose_digits(x: torch.Tensor) -> bool:
    """True if PyTorch would add a channel's values one by one in float32: on the CPU, with channels last.

    Take 80,000 values with a mean as large as their standard deviation. PyTorch's mean is then 7e-6 off and
    its variance 9e-6. With a mean ten times as large, they are 1e-4 off.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.dim() == 4
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 mean and biased variance of each channel, to 1e-7; x is (num, channels, height, width), channels last.

    The variance takes two passes (batch_norm_layer.cpp), the second over blocks.
    """
    rows = x.permute(0, 2, 3, 1).flatten(0, 2)
    count, channels = rows.shape
    mean = (x.sum((2, 3)).double().sum(0) / count).float()
    centred = x.new_empty(max(1, _BLOCK // channels), channels)
    squares = torch.zeros_like(centred)
    for block in rows.split(len(centred)):
        part = torch.sub(block, mean, out=centred[: len(block)])
        squares[: len(block)].addcmul_(part, part)
    return mean, (squares.double().sum(0) / count).float()


class _Normalize(torch.autograd.Function):
    """torch.batch_norm in training with given statistics; the gradient treats them as x's own."""

    @staticmethod
    def forward(ctx, x, factors, summands, mean, variance, eps):
        ctx.save_for_backward(x, factors, mean, torch.rsqrt(variance + eps))
        ctx.eps = eps
        return torch.batch_norm(x, factors, summands, mean, variance, False, 0, eps, True)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, factors, mean, inverse_deviation = ctx.saved_tensors
        gradients = torch.ops.aten.native_batch_norm_backward(
            gradient, x, factors, None, None, mean, inverse_deviation, True, ctx.eps, list(ctx.needs_input_grad[:3])
        )
        return (*gradients, None, None, None)


@register("BatchNorm")
class BatchNorm(Layer):
    """Subtracts each channel's mean and divides by its standard deviation, without its own scale or shift.

    Parameters (blobs): running sums of the means (channels) and of the unbiased variances (channels). The
    third is the sum of weights (1), which divides both. In TRAIN the statistics are the batch's. Each pass shrinks the
    sums by moving_average_fraction and then adds the statistics. In TEST they come from the sums.
    use_global_stats overrides the phase. The sums are not trained.

    Its mean and variance are float32 sums for any type of bottom. If nothing needs the values between them,
    the Scale after it runs in the same step (see _net/whole_net.py). Forward then gets that layer's weights
    after its own.
    """

    precision = Precision.AS_GIVEN
    backward_unasked = True
    keeps_bottoms = (0,)

    def setup(self, bottom):
        param = self.param.batch_norm_param
        self.use_global_stats = param.use_global_stats if param.HasField("use_global_stats") else not self.training
        if len(bottom[0]) < 2:
            raise self.error(f"input must have 2 axes or more (num, channels, ...), not {len(bottom[0])}")
        self.channels = bottom[0][1]
        for index, shape in enumerate(((self.channels,), (self.channels,), (1,))):
            self.add_blob(index, shape, caffe_pb2.FillerParameter())
        for spec in self.param.param:
            if spec.lr_mult != 0:
                raise self.error("its parameters are running sums and cannot be trained: leave out lr_mult or set it 0")
        while len(self.param.param) < len(self.blobs):
            self.param.param.add(lr_mult=0)
        self._add_to_sums = False

    def top_shapes(self, bottom):
        if len(bottom[0]) < 2 or bottom[0][1] != self.channels:
            raise self.error(f"input of shape {bottom[0]} does not fit sums made for {self.channels} channels")
        return [bottom[0]]

    def begin_pass(self):
        self._add_to_sums = True

    def takes_scale(self, scale: Layer) -> bool:
        """True if a Scale of its top can run in the same step: it learns factor and summand per channel."""
        param = scale.param.scale_param
        return (
            len(scale.param.bottom) == 1
            and param.bias_term
            and [blob.shape for blob in scale.blobs] == [[self.channels]] * 2
            and param.axis == 1
        )

    def forward_relu(self, bottom, weights, in_place=False):
        # batch_norm's forward and backward do not read its result, so it may be overwritten.
        return [y.relu_() for y in self.forward(bottom, weights)]

    def forward(self, bottom, weights):
        (x,) = bottom
        weights, factors = weights[:3], [*weights[3:], None, None][:2]
        eps = self.param.batch_norm_param.eps
        if self.use_global_stats:
            mean, variance, count = (w.detach() for w in weights)
            scale = torch.where(count == 0, 0, 1 / count)
            mean, variance = mean * scale, variance * scale
            if x.dtype != torch.bfloat16:
                # PyTorch computes x * a + b, which loses digits for a large mean; Caffe subtracts first.
                x, mean = x - mean.reshape(-1, *[1] * (x.dim() - 2)), torch.zeros_like(mean)
            return [torch.batch_norm(x, *factors, mean, variance, False, 0, eps, True)]
        count = x.numel() // self.channels
        only = x.detach() if count == 1 else None
        if only is not None:
            x = x - only  # exactly 0, for the same reason
        if _sums_lose_digits(x):
            mean, biased = _statistics(x.detach())
            y = _Normalize.apply(x, *factors, mean, biased, eps)
            variance = biased * (count / max(1, count - 1))
        else:
            # With momentum 1, PyTorch's running statistics are the batch's mean and unbiased variance.
            dtype = torch.float32 if x.dtype == torch.bfloat16 else x.dtype
            mean, variance = (x.new_zeros(self.channels, dtype=dtype) for _ in range(2))
            y = torch.batch_norm(x, *factors, mean, variance, True, 1, eps, True)
        if self._add_to_sums:
            self._add_to_sums = False
            if only is not None:  # The unbiased variance would be 0 / 0.
                mean, variance = only.reshape(-1).to(mean), torch.zeros_like(variance)
            fraction = self.param.batch_norm_param.moving_average_fraction
            for blob, total, value in zip(self.blobs, weights, (mean, variance, 1), strict=True):
                blob._data.set(total.detach() * fraction + value)
        return [y]
