"""Run pycaffe's other classes and functions, without Net and the solvers, with the engine that runs this.

python run_pycaffe.py OUT.npz       runs on real pycaffe's Python 3.9 and NumPy 1.19 too
"""

import os
import sys

import numpy as np

os.environ["GLOG_minloglevel"] = "2"
import caffe  # real Caffe reads the log level when it is imported
import caffe.detector
from caffe import layers as L
from caffe.coord_map import coord_map_from_to, crop
from PIL import Image

NET = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 4 stride: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 7 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


class WholeNumbers:
    """NumPy as real Detector's context needs it: on Python 3 it cuts images at floats, and fails."""

    def __getattr__(self, name):
        value = getattr(np, name)
        if name in ("round", "clip"):
            return lambda *args: value(*args).astype(int)
        return value


def files(rng):
    with open("net.prototxt", "w") as file:
        file.write(NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.uniform(-0.2, 0.2, blob.data.shape)
    net.save("net.caffemodel")
    Image.fromarray(rng.randint(0, 256, (40, 50, 3)).astype(np.uint8)).save("photo.png")
    return net


def passes(net, rng):
    x, above = rng.uniform(-1, 1, (10, 3, 12, 12)), rng.uniform(-1, 1, (10, 7))
    found = net.forward_all(blobs=["conv"], data=x)
    values, gradients = net.forward_backward_all(blobs=["pool"], diffs=["pool"], data=x, prob=above)
    found.update({"both " + name: value for name, value in values.items()})
    found.update({name + "|diff": value for name, value in gradients.items()})
    return found


def photos(rng):
    """load_image of photos that a camera held in all eight ways, as JPEG and PNG, colour and gray."""
    if not hasattr(caffe, "PrototxtError"):  # real Caffe; its load_image asks for an option of older scikit-image
        import skimage.io

        read = skimage.io.imread
        skimage.io.imread = lambda name, as_grey=False: read(name, as_gray=as_grey)
    found = {}
    for kind, orientation in [(kind, number) for kind in ("jpg", "png") for number in range(1, 10)]:
        name = "held%d.%s" % (orientation, kind)
        exif = Image.Exif()
        exif[0x112] = orientation
        for mode, size in (("RGB", (21, 34, 3)), ("L", (21, 34))):
            Image.fromarray(rng.randint(0, 256, size).astype(np.uint8)).save(name, exif=exif.tobytes())
            for color in (True, False):
                found["%s %s %s" % (name, mode, color)] = caffe.io.load_image(name, color)
    return found


def scores(rng):
    options = {"mean": np.array([0.4, 0.5, 0.6]), "raw_scale": 1.5, "input_scale": 2.0, "channel_swap": (2, 1, 0)}
    images = [rng.random_sample(size).astype(np.float32) for size in ((16, 15, 3), (30, 21, 3), (12, 12, 3))]
    found = {}
    for name, image_dims in (("whole", None), ("larger", (17, 15))):
        classifier = caffe.Classifier("net.prototxt", "net.caffemodel", image_dims=image_dims, **options)
        for oversample in (True, False):
            found["%s %s" % (name, oversample)] = classifier.predict(images, oversample)
    windows = np.array([[3, 4, 20, 30], [0, 0, 40, 50], [0, 30, 9, 50], [10, 10, 13, 40], [25, 2, 40, 11]])
    image_mean = {**options, "mean": rng.random_sample((3, 12, 12)).astype(np.float32)}
    caffe.detector.np = WholeNumbers()
    # Debian's load_image fails: its scikit-image no longer knows as_grey.
    caffe.io.load_image = lambda name: np.asarray(Image.open(name)).astype(np.float32) / np.float32(255)
    for name, more in (("windows", options), ("context", {**image_mean, "context_pad": 2})):
        detector = caffe.Detector("net.prototxt", "net.caffemodel", **more)
        detections = detector.detect_windows([("photo.png", windows[:3]), ("photo.png", windows[3:])])
        found[name] = np.array([one["prediction"] for one in detections])
    return found


def coordinates():
    data = L.Input(shape=dict(dim=[1, 3, 40, 50]))
    small = L.Pooling(L.Convolution(data, num_output=4, kernel_size=5, stride=2, pad=3), kernel_size=2, stride=2)
    large = L.Deconvolution(small, num_output=4, kernel_size=8, stride=4)
    found = {}
    for name, (top_from, top_to) in {
        "down": (data, small), "up": (small, large), "there and back": (large, data)
    }.items():  # fmt: skip
        axis, scale, shift = coord_map_from_to(top_from, top_to)
        found["map " + name] = np.concatenate([[axis], np.ravel(scale), np.ravel(shift)])
    wide = L.Convolution(data, num_output=4, kernel_size=3, pad=6)
    found["crop"] = np.array(crop(wide, data).fn.params["crop_param"]["offset"])
    return found


def main(out):
    caffe.set_mode_cpu()
    rng = np.random.RandomState(1701)
    net = files(rng)
    np.savez(out, **passes(net, rng), **photos(rng), **scores(rng), **coordinates())


if __name__ == "__main__":
    main(*sys.argv[1:])
