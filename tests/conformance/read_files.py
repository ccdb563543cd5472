"""Read Caffe's files with the engine that runs this and write down what it saw.

    python read_files.py FILE...        runs in any engine's Python (3.9 and NumPy 1.19 too)

A FILE is a .caffemodel, .solverstate, .binaryproto or an LMDB folder. FILE.npz holds every array by name.
FILE.json holds an outline: a line for every field present, with its value or the count of its numbers.
"""

import hashlib
import json
import os
import sys

import lmdb
import numpy as np
from caffe.proto import caffe_pb2


def shape_of(blob):
    if blob.HasField("shape"):
        return list(blob.shape.dim)
    return [blob.num, blob.channels, blob.height, blob.width]


def array_of(blob):
    return np.array(blob.data, dtype=np.float32).reshape(shape_of(blob))


def outline(message, path=""):
    """The fields present in a message, by number, one line each: `layer 3 / top 0 = pool1`."""
    lines = []
    for field, value in message.ListFields():
        # Strings have a length too; a repeated field is neither a string nor a single number.
        repeated = hasattr(value, "__len__") and not isinstance(value, (str, bytes))
        if repeated and field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
            lines.append(f"{path}{field.name}: {len(value)} numbers")
            continue
        for index, each in enumerate(value if repeated else [value]):
            name = f"{path}{field.name} {index}" if repeated else path + field.name
            if field.message_type is not None:
                lines += [name, *outline(each, name + " / ")]
            elif isinstance(each, bytes):
                lines.append(f"{name} = sha256 {hashlib.sha256(each).hexdigest()}")
            else:
                lines.append(f"{name} = {each}")
    return lines


def parse(path, message):
    with open(path, "rb") as file:
        message.ParseFromString(file.read())
    return message


def read(path):
    """(outline, {name: array}) of one file."""
    if os.path.isdir(path):
        records = []
        with lmdb.open(path, readonly=True, lock=False) as env, env.begin() as txn:
            for key, value in txn.cursor():
                datum = caffe_pb2.Datum()
                datum.ParseFromString(value)
                records += [
                    f"record {key.decode()} = sha256 {hashlib.sha256(value).hexdigest()}",
                    *outline(datum),
                ]
        return records, {}
    if path.endswith(".caffemodel"):
        net = parse(path, caffe_pb2.NetParameter())
        return outline(net), {
            f"{layer.name}/{index}": array_of(blob) for layer in net.layer for index, blob in enumerate(layer.blobs)
        }
    if path.endswith(".solverstate"):
        state = parse(path, caffe_pb2.SolverState())
        return outline(state), {f"history/{index}": array_of(blob) for index, blob in enumerate(state.history)}
    if path.endswith(".binaryproto"):
        blob = parse(path, caffe_pb2.BlobProto())
        return outline(blob), {"blob": array_of(blob)}
    raise ValueError(f"{path}: not a file that Caffe writes")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        seen, arrays = read(name)
        np.savez(name + ".npz", **arrays)
        with open(name + ".json", "w") as file:
            json.dump(seen, file)
