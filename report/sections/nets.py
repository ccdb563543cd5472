"""The nets as pictures, beside the report's Figures 1 to 3."""

from pathlib import Path

from report import Missing
from report.experiment import Experiment
from report.nets import read_net
from report.paper import family_of
from report.plots import nets

FIGURES = {
    "nin": "beside the report's Figures 1 and 2: each convolution is followed by two of 1 x 1, the perceptron that "
    "slides over the maps, and the last pooling averages a whole map into a class's score",
    "alexnet": "beside the report's Figure 3, whose two halves are one net here: five convolutions, the first two "
    "normalised, three poolings, three fully connected layers",
}


def build(_: Experiment) -> dict:
    first: dict[str, Path] = {}
    for path in sorted(Path("models").glob("*/deploy.prototxt")):
        first.setdefault(family_of(path.parent.name) or path.parent.name, path)
    if not first:
        raise Missing("No net is rendered yet: make models")
    shown = []
    for number, (family, path) in enumerate(first.items(), 1):
        try:
            net = read_net(path)
            shown.append((net, nets.net(net, f"net-{number}"), FIGURES.get(family, ""), None))
        except Missing as missing:
            shown.append((None, None, "", str(missing)))
    return {"nets": shown}
