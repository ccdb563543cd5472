"""The classes in an order in which neighbours are alike: by kind, and within a kind by what is confused."""

from collections.abc import Sequence

import numpy as np

#: The first WordNet id of a kind: in WordNet 3.0 nouns are numbered by what they are.
KINDS = (("animals", "n00000000"), ("things", "n02650000"), ("food", "n07500000"), ("places", "n09000000"),
         ("plants", "n10000000"))  # fmt: skip


def kinds(wnids: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The labels of each kind, kinds without a class left out."""
    bounds = [first for _, first in KINDS[1:]] + ["o"]
    groups = [
        (kind, [label for label, wnid in enumerate(wnids) if first <= wnid < end])
        for (kind, first), end in zip(KINDS, bounds)
    ]
    return [(kind, labels) for kind, labels in groups if labels]


def order(
    confusion: np.ndarray, wnids: Sequence[str], one: str | None = None
) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Labels in the order of the picture, and each kind with how many classes it has.

    confusion is int (200, 200). Within a kind the classes follow the Fiedler vector of the graph whose edges
    are the confusions, which puts those that are often confused near each other. `one` is the kind of all classes
    where their ids do not say what their images show.
    """
    found = [(one, list(range(len(wnids))))] if one else kinds(wnids)
    alike = confusion + confusion.T
    labels = [label for _, group in found for label in _seriated(group, alike)]
    return np.array(labels), [(kind, len(group)) for kind, group in found]


def _seriated(labels: Sequence[int], alike: np.ndarray) -> list[int]:
    if len(labels) < 3:
        return list(labels)
    # A small weight on every edge keeps the graph in one piece. It is larger between neighbours in WordNet, or classes
    # that are never confused would be alike in all, and rounding, another with each BLAS and thread, would order them.
    places = np.arange(len(labels))
    weights = alike[np.ix_(labels, labels)] + 0.05 / (1 + np.abs(places[:, None] - places))
    np.fill_diagonal(weights, 0)
    scale = 1 / np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(len(labels)) - scale[:, None] * weights * scale
    vector = np.linalg.eigh(laplacian)[1][:, 1] * scale
    if vector @ (places - places.mean()) < 0:  # an eigenvector's sign is the library's choice
        vector = -vector
    return [labels[at] for at in np.argsort(vector, kind="stable")]
