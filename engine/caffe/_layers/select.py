"""Layers that pick records of a batch (Caffe's filter_layer.cpp, batch_reindex_layer.cpp)."""

from caffe._layers.base import Layer, no_gradient, register


@register("Filter")
class Filter(Layer):
    """Selects, from every bottom but the last, the records for which the last bottom is not 0.

    Until the first forward pass tops have the shape of their bottoms.
    """

    bottoms = (2, None)
    tops = (1, None)

    def setup(self, bottom):
        if len(self.param.top) != len(bottom) - 1:
            raise self.error(f"{len(bottom)} bottoms need {len(bottom) - 1} top(s), not {len(self.param.top)}")

    def top_shapes(self, bottom):
        *data, selector = bottom
        if any(d != 1 for d in selector[1:]):
            raise self.error(f"the selector (last bottom) must hold one value per record, not be of shape {selector}")
        if any(shape[:1] != selector[:1] for shape in bottom):
            raise self.error(f"bottoms must hold equally many records, not {', '.join(map(str, bottom))}")
        return data

    def lacks_gradient_of(self, index):
        return "the selector" if index == len(self.param.bottom) - 1 else None

    def forward(self, bottom, weights):
        *data, selector = bottom
        chosen = (selector.detach().flatten() != 0).nonzero().flatten()
        return [no_gradient(self, x.index_select(0, chosen), selector, len(data)) for x in data]


@register("BatchReindex")
class BatchReindex(Layer):
    """Records of the first bottom in the order of the second, a list of indices; some may repeat."""

    bottoms = (2, 2)

    def top_shapes(self, bottom):
        data, indices = bottom
        if len(indices) != 1:
            raise self.error(f"indices (second bottom) must have one axis, not be of shape {indices}")
        if not data:
            raise self.error("data (first bottom) must have an axis of records")
        return [(*indices, *data[1:])]

    def lacks_gradient_of(self, index):
        return "the indices" if index == 1 else None

    def forward(self, bottom, weights):
        data, indices = bottom
        wanted = indices.detach()
        # PyTorch's own assertion stops a wrong index on a GPU; a check here would wait for the device.
        if not wanted.is_cuda:
            wrong = wanted[(wanted < 0) | (wanted >= data.shape[0])]
            if len(wrong):
                raise self.error(f"index {wrong[0]:g} is no record: there are {data.shape[0]}, counted from 0")
        return [no_gradient(self, data.index_select(0, wanted.long()), indices, 1)]
