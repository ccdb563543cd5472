"""Write the training run's files with the engine that runs this: LMDBs, mean files, the initial weights.

    python make_data.py FOLDER JPEG     runs in any engine's Python (3.9 and NumPy 1.19 too)

Everything comes from one seeded legacy generator and integer arithmetic, so both engines get the same numbers.
Train images are 13 x 13. Test images are 17 x 15, so the test crop of 13 starts at row 2, column 1, in image
and mean alike. The 40 train records at batch 6 wrap inside a batch, and 20 iterations are exactly three epochs.
A run that resumes in Caffe starts its data from the first record.
So it gets the same batches as a run that was never stopped. The same holds for the 40 test records.
"""

import io
import os
import sys

import lmdb
import numpy as np
from caffe.proto import caffe_pb2
from PIL import Image

CLASSES = 9
RECORDS = 40
SHAPES = {
    "conv1": [(12, 1, 5, 3), (12,)],
    "conv2": [(10, 6, 3, 3), (10,)],
    "ip1": [(17, 120), (17,)],
    "ip2": [(CLASSES, 17), (CLASSES,)],
}


def images(rng, height, width):
    """RECORDS images (3, height, width), uint8: a pattern a class in noise, so that there is something to
    learn.
    """
    patterns = np.random.RandomState(5).randint(0, 160, size=(CLASSES, 3, 17, 17))[:, :, :height, :width]
    labels = rng.permutation(np.arange(RECORDS) % CLASSES)
    return (patterns[labels] + rng.randint(0, 96, size=(RECORDS, 3, height, width))).astype(np.uint8), labels


def write_lmdb(path, records):
    with lmdb.open(path, map_size=1 << 24) as env, env.begin(write=True) as txn:
        for index, datum in enumerate(records):
            txn.put(b"%08d" % index, datum.SerializeToString())


def raw(image, label):
    """A Datum as convert_imageset writes it: BGR bytes, channel by channel."""
    channels, height, width = image.shape
    return caffe_pb2.Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=int(label))


def real_valued(image, label):
    """A Datum of floats, as a program that stores features writes it."""
    channels, height, width = image.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width, label=int(label))
    datum.float_data.extend((image.astype(np.float32) / 64 - 1).ravel().tolist())
    return datum


def encoded(data, label):
    return caffe_pb2.Datum(data=data, label=int(label), encoded=True)


def png(image):
    """PNG bytes of a BGR image (3, height, width)."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[::-1].transpose(1, 2, 0))).save(stream, "PNG")
    return stream.getvalue()


def write_mean(path, pixels):
    mean = pixels.astype(np.float64).mean(axis=0).astype(np.float32)
    blob = caffe_pb2.BlobProto(num=1, channels=mean.shape[0], height=mean.shape[1], width=mean.shape[2])
    blob.data.extend(mean.ravel().tolist())
    with open(path, "wb") as file:
        file.write(blob.SerializeToString())


def write_weights(path, rng):
    net = caffe_pb2.NetParameter(name="initial")
    for name, shapes in SHAPES.items():
        layer = net.layer.add(name=name, type="Convolution" if name.startswith("conv") else "InnerProduct")
        for shape in shapes:
            # Weights as xavier draws them; biases small but not zero, so that a forgotten bias shows.
            bound = (3.0 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
            blob = layer.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data.extend(((2 * rng.random_sample(shape) - 1) * bound).astype(np.float32).ravel().tolist())
    with open(path, "wb") as file:
        file.write(net.SerializeToString())


def main(folder, jpeg):
    os.makedirs(folder)
    rng = np.random.RandomState(2015)
    for name, height, width in (("train", 13, 13), ("test", 17, 15)):
        pixels, labels = images(rng, height, width)
        write_lmdb(os.path.join(folder, name + "_lmdb"), map(raw, pixels, labels))
        write_mean(os.path.join(folder, name + "_mean.binaryproto"), pixels)
    few = list(zip(pixels, labels))[:5]
    write_lmdb(os.path.join(folder, "float_lmdb"), [real_valued(*each) for each in few])
    write_lmdb(os.path.join(folder, "png_lmdb"), [encoded(png(image), label) for image, label in few])
    with open(jpeg, "rb") as file:
        write_lmdb(os.path.join(folder, "jpeg_lmdb"), [encoded(file.read(), 4)])
    write_weights(os.path.join(folder, "initial.caffemodel"), rng)


if __name__ == "__main__":
    main(*sys.argv[1:])
