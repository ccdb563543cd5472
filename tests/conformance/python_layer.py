"""A layer in Python, as a user of Caffe writes one; the cases of type Python load it."""

import json

import caffe


class Affine(caffe.Layer):
    """top = scale * bottom + shift, with both numbers in `param_str` as JSON."""

    def setup(self, bottom, top):
        given = json.loads(self.param_str)
        self.scale, self.shift = given["scale"], given["shift"]

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.scale * bottom[0].data + self.shift

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = self.scale * top[0].diff
