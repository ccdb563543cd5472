"""Layers that only lead values elsewhere: Split, Silence."""

from caffe._layers.base import Layer, Precision, register


@register("Split")
class Split(Layer):
    """Gives its bottom to several tops; their gradients add up. A net inserts these by itself."""

    precision = Precision.AS_GIVEN
    shares_values = True

    tops = (1, None)

    def top_shapes(self, bottom):
        return [bottom[0]] * len(self.param.top)

    def forward(self, bottom, weights):
        return [bottom[0].view_as(bottom[0]) for _ in self.param.top]


@register("Silence")
class Silence(Layer):
    """Takes bottoms nobody needs, so that they do not show as outputs of the net."""

    precision = Precision.AS_GIVEN

    bottoms = (1, None)
    tops = (0, 0)

    def top_shapes(self, bottom):
        return []

    def forward(self, bottom, weights):
        return []
