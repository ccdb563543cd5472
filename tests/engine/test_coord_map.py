"""Maps between coordinates of blobs, against where the windows of the layers really lie."""

import numpy as np
import pytest
from caffe import NetSpec, coord_map
from caffe import layers as L
from caffe.coord_map import AxisMismatchException, coord_map_from_to, crop


def window_centre(y, kernel, stride, pad, dilation=1):
    """Mean input coordinate of the window of a convolution's output y."""
    return np.mean([y * stride - pad + dilation * k for k in range(kernel)])


@pytest.fixture
def data():
    return L.Input(shape=dict(dim=[2, 3, 40, 50]))


@pytest.mark.parametrize(
    "layer,window",
    [
        (lambda x: L.Convolution(x, kernel_size=5, stride=2, pad=1, num_output=4), dict(kernel=5, stride=2, pad=1)),
        (
            lambda x: L.Convolution(x, convolution_param=dict(kernel_size=3, dilation=4, pad=2, num_output=4)),
            dict(kernel=3, stride=1, pad=2, dilation=4),
        ),
        (lambda x: L.Pooling(x, kernel_size=4, stride=3), dict(kernel=4, stride=3, pad=0)),
        (lambda x: L.Im2col(x, kernel_size=2, stride=2, pad=1), dict(kernel=2, stride=2, pad=1)),
    ],
)
def test_a_window_maps_its_centre_to_its_output(data, layer, window):
    axis, scale, shift = coord_map_from_to(data, layer(data))
    assert axis == 1
    for y in range(6):
        np.testing.assert_allclose(scale * window_centre(y, **window) + shift, y, atol=1e-12)


def test_deconvolution_is_the_inverse_of_convolution(data):
    sizes = dict(kernel_size=5, stride=3, pad=2, num_output=4)
    up = L.Deconvolution(L.Convolution(data, **sizes), **sizes)
    for way in ((data, up), (up, data)):
        axis, scale, shift = coord_map_from_to(*way)
        assert axis == 1
        np.testing.assert_allclose([*scale, *shift], [1, 0], atol=1e-12)


def test_pass_through_and_two_branches(data):
    """Through a common ancestor: one branch halves, the other halves after a shift of one."""
    pooled = L.Pooling(L.ReLU(data), kernel_size=2, stride=2)
    shifted = L.Convolution(pooled, kernel_size=3, num_output=4)
    other = L.Dropout(L.Pooling(data, kernel_size=2, stride=2))
    axis, scale, shift = coord_map_from_to(shifted, other)
    assert axis == 1
    np.testing.assert_allclose([*scale, *shift], [1, 1])
    assert coord_map_from_to(data, L.Power(data)) == (None, 1, 0)


def test_axes_have_their_own_map(data):
    axis, scale, shift = coord_map_from_to(data, L.Convolution(data, kernel_size=[3, 5], stride=[1, 2], num_output=4))
    np.testing.assert_allclose(scale, [1, 1 / 2])
    np.testing.assert_allclose(shift, [-1, -1])


def test_crop_layer_shifts_by_its_offset_and_its_second_bottom_is_not_walked(data):
    n = NetSpec()
    n.data, n.other = data, L.Input(shape=dict(dim=[2, 3, 10, 11]))
    n.cropped = L.Crop(n.data, n.other, axis=2, offset=[4, 7])
    _, scale, shift = coord_map_from_to(n.data, n.cropped)
    np.testing.assert_allclose(shift, [-4, -7])
    with pytest.raises(RuntimeError, match="no map"):
        coord_map_from_to(n.other, n.cropped)


class TestCrop:
    def test_offset_and_axis(self, data):
        """A convolution with pad 6 is 12 - 2 pixels larger and begins 5 earlier."""
        wide = L.Convolution(data, kernel_size=3, pad=6, num_output=4)
        layer = crop(wide, data).fn
        assert (layer.type_name, layer.inputs) == ("Crop", (wide, data))
        assert layer.params == {"crop_param": {"axis": 2, "offset": [5]}}

    def test_blobs_of_the_same_coordinates(self, data):
        assert crop(L.ReLU(data), data).fn.params == {"crop_param": {"axis": 2, "offset": [0]}}

    def test_refused(self, data):
        with pytest.raises(AssertionError, match="scale"):
            crop(L.Pooling(data, kernel_size=2, stride=2), data)
        with pytest.raises(AssertionError, match="negative"):
            crop(L.Convolution(data, kernel_size=3, num_output=4), data)
        with pytest.raises(AssertionError, match="not whole"):
            crop(L.Convolution(data, kernel_size=2, pad=2, num_output=4), data)


def test_refused_maps(data):
    with pytest.raises(RuntimeError, match="not connected"):
        coord_map_from_to(L.InnerProduct(data, num_output=3), data)
    with pytest.raises(AssertionError, match="kernel_h, kernel_w"):
        coord_map_from_to(L.Convolution(data, kernel_h=3, kernel_w=2, num_output=4), data)
    with pytest.raises(AxisMismatchException, match="after 1 and after 2"):
        coord_map.compose((1, 1, 0), (2, 1, 0))
