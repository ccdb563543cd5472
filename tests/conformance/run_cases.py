"""Run layer cases with the engine that runs this, and write down every value and gradient.

    python run_cases.py CASES.json OUT.npz      runs in any engine's Python (3.9 and NumPy 1.19 too)

A case is a net of one layer whose bottoms are Input layers, with `force_backward: true`. (With `learned`, bottoms
that have a gradient are Parameter layers and nothing is forced.) A generator seeded with the case's name fills
bottoms, parameters and top diffs. Then the net runs forward, and backward if the case has a gradient.

OUT.npz holds `case|blob|data` for every top and `case|blob|diff` for every bottom and parameter (`param 0`, ...).
A parameter that the layer itself changed has its data too. If the engine raised, it holds `case|error`.
Real Caffe does not raise, it aborts: the last line printed then names the case.
"""

import json
import os
import sys
import zlib

import numpy as np

os.environ["GLOG_minloglevel"] = "2"
import caffe  # real Caffe reads the log level when it is imported


def net_text(case):
    lines = ['name: "case"', f"force_backward: {str(case['backward'] and not case['learned']).lower()}"]
    for index, bottom in enumerate(case["bottoms"]):
        dims = " ".join(f"dim: {dim}" for dim in bottom["shape"])
        kind = "Parameter" if case["learned"] and bottom["gradient"] else "Input"
        lines.append(
            f'layer {{ name: "b{index}" type: "{kind}" top: "b{index}" {kind.lower()}_param {{ shape {{ {dims} }} }} }}'
        )
    bottoms = " ".join(f'bottom: "b{index}"' for index in range(len(case["bottoms"])))
    tops = " ".join(f'top: "{top}"' for top in case["tops"])
    type_, text = case["type"], case["text"]
    if case["learned"]:
        text += "".join(f" loss_weight: {1 - min(index, 1)}" for index in range(len(case["tops"])))
    lines.append(f'layer {{ name: "case" type: "{type_}" {bottoms} {tops} {text} }}')
    return "\n".join(lines) + "\n"


def draw(rng, shape, low, high, integers):
    if integers:
        return rng.randint(int(low), int(high) + 1, size=shape).astype(np.float32)
    return (low + (high - low) * rng.random_sample(shape)).astype(np.float32)


def run(case):
    """{key: array} of one case."""
    path = "case.prototxt"
    with open(path, "w") as file:
        file.write(net_text(case))
    net = caffe.Net(path, getattr(caffe, case["phase"]))
    rng = np.random.RandomState(zlib.crc32(case["name"].encode()) & 0xFFFFFFFF)
    for index, bottom in enumerate(case["bottoms"]):
        values = draw(rng, bottom["shape"], bottom["low"], bottom["high"], bottom["integers"])
        name = f"b{index}"
        (net.params[name][0] if name in net.params else net.blobs[name]).data[...] = values
    params = list(net.params["case"]) if "case" in net.params else []
    for param in params:
        low, high = case["params"]
        param.data[...] = draw(rng, tuple(param.data.shape), low, high, False)
        param.diff[...] = 0
    before = [np.array(param.data) for param in params]
    if case["records"]:
        blob = net.blobs[case["tops"][0]].data
        arrays = [draw(rng, (case["records"],) + shape, -9, 9, False) for shape in (blob.shape[1:], ())]
        net.set_input_arrays(*arrays)
    for _ in range(case["forwards"]):
        net.forward()
    seen = {top + "|data": np.array(net.blobs[top].data) for top in case["tops"]}
    if case["backward"]:
        if case["top_diffs"]:
            for top in case["tops"]:
                diff = net.blobs[top].diff
                diff[...] = draw(rng, tuple(diff.shape), -1, 1, False)
        net.backward()
        for index, bottom in enumerate(case["bottoms"]):
            if bottom["gradient"]:
                seen[f"b{index}|diff"] = np.array(net.blobs[f"b{index}"].diff)
    for index, param in enumerate(params):
        if not np.array_equal(before[index], param.data):  # a layer that counts in its parameters, as BatchNorm does
            seen[f"param {index}|data"] = np.array(param.data)
        if case["backward"]:
            seen[f"param {index}|diff"] = np.array(param.diff)
    return seen


def main(cases, out):
    gpu = os.environ.get("CONFORMANCE_GPU")
    if gpu:
        caffe.set_device(int(gpu))
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    found = {}
    with open(cases) as file:
        table = json.load(file)
    for case in table:
        print(case["name"], flush=True)
        try:
            seen = run(case)
        except Exception as error:  # noqa: BLE001  (this case fails, not the others)
            found[case["name"] + "|error"] = np.array(f"{type(error).__name__}: {error}")
            continue
        for key, value in seen.items():
            found[case["name"] + "|" + key] = value
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
