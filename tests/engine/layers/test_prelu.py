"""PReLU's blocks against its formula, with sizes that no block divides."""

import pytest
import torch
from caffe._layers._kernels import prelu


@pytest.fixture(params=[1 << 19, 70, 1], ids=["one block", "two images a block", "an image a block"])
def block(request, monkeypatch):
    """35 numbers an image: 70 are two images, and the last of five stands alone."""
    monkeypatch.setattr(prelu, "_BLOCK", request.param)


@pytest.mark.parametrize("shape", [(5, 7, 1, 5), (5, 7, 5), (5, 7)])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 3e-6), (torch.float64, 1e-13), (torch.bfloat16, 2e-2)])
def test_values_and_gradients(block, shape, shared, dtype, bound):
    torch.manual_seed(3)
    x, top = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    x[0, 0] = 0
    slopes = torch.randn(1 if shared else 7, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    slopes[-1] = -0.5
    x.requires_grad_(), slopes.requires_grad_()
    y = prelu.prelu(x, slopes)
    found = torch.autograd.grad(y, [x, slopes], top)
    assert y.dtype == found[0].dtype == dtype and found[1].dtype == slopes.dtype

    a = slopes.detach().double().expand(7).reshape(1, 7, *[1] * (len(shape) - 2))
    x, top = x.detach().double(), top.double()
    to_slopes = (top * x.clamp(max=0)).transpose(0, 1).reshape(7, -1).sum(1)
    expected = (
        torch.where(x > 0, x, a * x),
        torch.where(x > 0, top, a * top),
        to_slopes.sum(0, True) if shared else to_slopes,
    )
    for value, want in zip((y, *found), expected, strict=True):
        torch.testing.assert_close(value.double(), want, rtol=bound, atol=bound * max(1, want.abs().max().item()))


@pytest.mark.parametrize("needed", [(True, False), (False, True)])
def test_one_gradient_alone(needed):
    torch.manual_seed(3)
    x, slopes, top = torch.randn(5, 7, 2, 3), torch.rand(7), torch.randn(5, 7, 2, 3)
    both = torch.autograd.grad(prelu.prelu(x.requires_grad_(), slopes.requires_grad_()), [x, slopes], top)
    x, slopes = (each.detach().requires_grad_(need) for each, need in zip((x, slopes), needed, strict=True))
    asked = [each for each in (x, slopes) if each.requires_grad]
    (alone,) = torch.autograd.grad(prelu.prelu(x, slopes), asked, top)
    torch.testing.assert_close(alone, both[needed.index(True)], rtol=0, atol=0)
