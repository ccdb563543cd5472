"""Change one blob between forward and backward, and note whose values the gradients use: the old or the new.

    python run_changes.py CASES.json OUT     runs in any engine's Python (3.9 and NumPy 1.19 too), beside run_cases.py

The cases are those of run_cases.py that have a gradient. Each of a case's bottoms, parameters and tops gets other
values after forward, one at a time. OUT.npz holds the gradients as `case|changed|gradient`.
OUT.json holds a word for each gradient:

    forward  the gradient of forward's values: the change does not count
    again    the gradient that another forward would have given: the change counts everywhere
    mixed    neither: backward reads this blob again, but keeps some other value of forward

A gradient that another forward would not change either has no word. A change of a top has no forward of its own.
"""

import json
import sys

import numpy as np
import run_cases
from run_cases import caffe, draw

STATEFUL = ("BatchNorm", "LSTM", "RNN")  # a pass leaves something for the next: each begins with a new net


class Net:
    """A case's net, filled anew for every pass."""

    def __init__(self, case):
        self.case = case
        with open("case.prototxt", "w") as file:
            file.write(run_cases.net_text(case))
        self.make()
        self.tops = [top for top in case["tops"] if not top.startswith("b")]

    def make(self):
        self.net = caffe.Net("case.prototxt", getattr(caffe, self.case["phase"]))
        self.params = list(self.net.params["case"]) if "case" in self.net.params else []

    def fill(self):
        """The values that nothing has changed yet."""
        if self.case["type"] in STATEFUL:
            self.make()
        rng = np.random.RandomState(3)
        for index in range(len(self.case["bottoms"])):
            self.change("b%d" % index, rng)
        for index, param in enumerate(self.params):
            self.change("param %d" % index, rng)
            param.diff[...] = 0

    def names(self):
        """The blobs that can be changed."""
        bottoms = ["b%d" % index for index in range(len(self.case["bottoms"]))]
        return bottoms + ["param %d" % index for index in range(len(self.params))] + self.tops

    def change(self, name, rng):
        """Give a blob other values of its range."""
        case = self.case
        if name.startswith("param "):
            param = self.params[int(name[6:])]
            param.data[...] = draw(rng, tuple(param.data.shape), *case["params"], False)
            return
        blob = self.net.blobs[name]
        if name in self.tops:
            blob.data[...] = draw(rng, tuple(blob.data.shape), 0.25, 0.75, False)
            return
        bottom = case["bottoms"][int(name[1:])]
        values = draw(rng, bottom["shape"], bottom["low"], bottom["high"], bottom["integers"])
        blob.data[...] = values
        if name in self.net.params:
            self.net.params[name][0].data[...] = values

    def forward(self):
        caffe.set_random_seed(7)
        self.net.forward()

    def backward(self):
        """The gradients by name."""
        case, rng = self.case, np.random.RandomState(9)
        if case["top_diffs"]:
            for top in case["tops"]:
                diff = self.net.blobs[top].diff
                diff[...] = draw(rng, tuple(diff.shape), -1, 1, False)
        self.net.backward()
        found = {
            "b%d" % index: np.array(self.net.blobs["b%d" % index].diff)
            for index, bottom in enumerate(case["bottoms"])
            if bottom["gradient"]
        }
        for index, param in enumerate(self.params):
            found["param %d" % index] = np.array(param.diff)
        return found


def gradients(net, changed, late):
    """Gradients where `changed` (None: nothing) has other values, written after forward (`late`) or before it."""
    net.fill()
    if changed and not late:
        net.change(changed, np.random.RandomState(11))
    net.forward()
    if changed and late:
        net.change(changed, np.random.RandomState(11))
    return net.backward()


def alike(one, other):
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return False
    one, other = np.nan_to_num(one), np.nan_to_num(other)
    return not one.size or float(np.abs(one - other).max()) <= 1e-4 * max(float(np.abs(one).max()), 1e-3)


def words(case):
    """Words and gradients, as {changed: {gradient: (word, gradient itself)}}."""
    net = Net(case)
    plain, table = gradients(net, None, False), {}
    for changed in net.names():
        late = gradients(net, changed, True)
        again = late if changed in net.tops else gradients(net, changed, False)
        table[changed] = {}
        for name, value in late.items():
            if alike(value, plain[name]):
                if changed in net.tops or alike(again[name], plain[name]):
                    continue
                word = "forward"
            else:
                word = "again" if changed not in net.tops and alike(value, again[name]) else "mixed"
            table[changed][name] = (word, value)
    return table


def main(cases, out):
    caffe.set_mode_cpu()
    with open(cases) as file:
        table = json.load(file)
    found, arrays = {}, {}
    for case in table:
        print(case["name"], flush=True)
        found[case["name"]] = {}
        for changed, of in words(case).items():
            found[case["name"]][changed] = {name: word for name, (word, _) in of.items()}
            arrays.update({"|".join((case["name"], changed, name)): value for name, (_, value) in of.items()})
    with open(out + ".json", "w") as file:
        json.dump(found, file, indent=1)
    np.savez(out + ".npz", **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
