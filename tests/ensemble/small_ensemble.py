"""A small experiment for the ensemble's tests: LMDBs, two nets, snapshots, and the scores they must give.

It is written with Caffe's messages and lmdb alone, without an engine. Loops in float64 compute the expected scores.
So an engine's scores are compared with an independent computation. Images are 13 x 17.
The crop is 6 and starts at row 3 and column 5; a mistake in any of the five shows.
"""

from __future__ import annotations

from pathlib import Path

import lmdb
import numpy as np
from caffe.proto import caffe_pb2

SHAPE = (3, 13, 17)
CROP, TOP, LEFT = 6, 3, 5
SIZES = {"val": 21, "test": 17, "holdout": 11}
MODELS = ("one", "two")
CLASSES = 200

LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "relu1" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 200 } }
layer { name: "relu2" type: "ReLU" bottom: "ip" top: "ip" }
"""
DEPLOY = (
    """name: "%s"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
"""
    + LAYERS
    + 'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }\n'
)
TRAIN_VAL = (
    """name: "%s"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 6 mean_file: "data/lmdb/mean.binaryproto" }
        data_param { source: "data/lmdb/val_lmdb" batch_size: 7 backend: LMDB } }
"""
    + LAYERS
    + 'layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }\n'
)


def _logits(pixels: np.ndarray, weights: dict[str, list[np.ndarray]]) -> np.ndarray:
    """The result of the layers above for one image (3, 6, 6), less the mean: float64 (200,)."""
    (kernel, kernel_bias), (matrix, bias) = weights["conv"], weights["ip"]
    maps = np.empty((5, 4, 4))
    for out in range(5):
        for y in range(4):
            for x in range(4):
                window = pixels[:, y : y + 3, x : x + 3]
                maps[out, y, x] = max(0.0, (window * kernel[out]).sum() + kernel_bias[out])
    return np.maximum(0.0, matrix.astype(np.float64) @ maps.ravel() + bias)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def write_lmdb(path: Path, names: list[str], datums: list) -> None:
    """Write datums under convert_imageset's keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for index, (name, datum) in enumerate(zip(names, datums)):
            transaction.put(b"%08d_" % index + name.encode(), datum.SerializeToString())


def raw_datum(image: np.ndarray, label: int):
    """A Datum of an image, uint8 (C, H, W), BGR."""
    channels, height, width = image.shape
    data = np.ascontiguousarray(image).tobytes()
    return caffe_pb2.Datum(channels=channels, height=height, width=width, data=data, label=label)


def write_mean(path: Path, mean: np.ndarray) -> None:
    """Write a mean image (C, H, W) with the four old fields, as compute_image_mean does."""
    blob = caffe_pb2.BlobProto(num=1, channels=mean.shape[0], height=mean.shape[1], width=mean.shape[2])
    blob.data.extend(mean.ravel().tolist())
    path.write_bytes(blob.SerializeToString())


def write_snapshot(path: Path, name: str, weights: dict[str, list[np.ndarray]]) -> None:
    """Write a .caffemodel of the net `name`."""
    net = caffe_pb2.NetParameter(name=name)
    for layer_name, blobs in weights.items():
        layer = net.layer.add(name=layer_name)
        for values in blobs:
            blob = layer.blobs.add()
            blob.shape.dim.extend(values.shape)
            blob.data.extend(values.ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(net.SerializeToString())


def make_weights(seed: int) -> dict[str, list[np.ndarray]]:
    """Weights of the layers above; those of two seeds are alike, as two trained nets are."""
    common, own = np.random.RandomState(1), np.random.RandomState(seed)

    def draw(scale: float, *shape: int) -> np.ndarray:
        return (scale * (common.standard_normal(shape) + 0.3 * own.standard_normal(shape))).astype(np.float32)

    conv = [draw(0.01, 5, 3, 3, 3), draw(0.1, 5)]
    return {"conv": conv, "ip": [draw(0.2, CLASSES, 80), draw(0.1, CLASSES)]}


def make(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Fill `folder` with models/, runs/ and data/lmdb/; the result is prob[model][split], (N, 200)."""
    random = np.random.RandomState(2015)
    data = folder / "data" / "lmdb"
    data.mkdir(parents=True)
    mean = (100 + 20 * random.standard_normal(SHAPE)).astype(np.float32)
    write_mean(data / "mean.binaryproto", mean)
    wnids = [f"n{1000000 + 37 * number:08d}" for number in range(CLASSES)]
    (data / "labels.txt").write_text("".join(f"{wnid} a thing, and another\n" for wnid in wnids))
    weights = {name: make_weights(seed) for seed, name in enumerate(MODELS, 11)}
    for name in MODELS:
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "deploy.prototxt").write_text(DEPLOY % name)
        (folder / "models" / name / "train_val.prototxt").write_text(TRAIN_VAL % name)
        write_snapshot(folder / "runs" / name / f"{name}_iter_20.caffemodel", name, weights[name])
    prob = {name: {} for name in MODELS}
    for split, count in SIZES.items():
        images = random.randint(0, 256, size=(count, *SHAPE)).astype(np.uint8)
        cut = (images - mean)[:, :, TOP : TOP + CROP, LEFT : LEFT + CROP].astype(np.float64)
        logits = {name: [_logits(one, weights[name]) for one in cut] for name in MODELS}
        for name in MODELS:
            prob[name][split] = np.array([_softmax(one) for one in logits[name]])
        # The truth has several ranks, in each model by turns; the last ties at zero before the Softmax.
        ranked = [np.argsort(-logits[MODELS[i // 3 % 2]][i], kind="stable") for i in range(count)]
        labels = [int(order[(0, 0, 1, 4, 5, 199)[i % 6]]) for i, order in enumerate(ranked)]
        names = [f"{split}/images/{split}_{(i * 7) % count}.JPEG" for i in range(count)]
        if split == "test":
            labels = [-1] * count
        write_lmdb(data / f"{split}_lmdb", names, [raw_datum(*pair) for pair in zip(images, labels)])
    return prob
