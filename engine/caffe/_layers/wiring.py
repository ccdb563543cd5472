"""Layers that only pass values on or take them: Split, Silence."""

from caffe._layers.base import Layer, Precision, register


@register("Split")
class Split(Layer):
    """Gives its bottom to several tops, and adds up their gradients. A net inserts such layers automatically."""

    precision = Precision.AS_GIVEN
    shares_values = True

    tops = (1, None)

    def top_shapes(self, bottom):
        return [bottom[0]] * len(self.param.top)

    def forward(self, bottom, weights):
        return [bottom[0].view_as(bottom[0]) for _ in self.param.top]


@register("Silence")
class Silence(Layer):
    """Takes unneeded bottoms, so that they do not appear as the net's outputs."""

    precision = Precision.AS_GIVEN

    bottoms = (1, None)
    tops = (0, 0)

    def top_shapes(self, bottom):
        return []

    def forward(self, bottom, weights):
        return []
