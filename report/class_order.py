"""An order of the classes in which neighbours are alike: by WordNet group, then by confusion."""

from collections.abc import Sequence

import numpy as np

#: The first WordNet id of each group. WordNet 3.0 numbers nouns by their meaning.
WORDNET_GROUPS = (("animals", "n00000000"), ("things", "n02650000"), ("food", "n07500000"), ("places", "n09000000"),
         ("plants", "n10000000"))  # fmt: skip


def wordnet_groups(wnids: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The labels of each group; groups without a class are left out."""
    bounds = [first for _, first in WORDNET_GROUPS[1:]] + ["o"]
    groups = [
        (kind, [label for label, wnid in enumerate(wnids) if first <= wnid < end])
        for (kind, first), end in zip(WORDNET_GROUPS, bounds)
    ]
    return [(kind, labels) for kind, labels in groups if labels]


def order(
    confusion: np.ndarray, wnids: Sequence[str], one: str | None = None
) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Labels in the order of the picture, and each group with its number of classes.

    `confusion` is int (200, 200). Within a group the classes follow the Fiedler vector of a graph, whose edges are the
    confusions. Classes that are often confused are then near each other. `one` is the group of all classes if their
    ids do not describe their images.
    """
    found = [(one, list(range(len(wnids))))] if one else wordnet_groups(wnids)
    alike = confusion + confusion.T
    labels = [label for _, group in found for label in _seriated(group, alike)]
    return np.array(labels), [(kind, len(group)) for kind, group in found]


def _seriated(labels: Sequence[int], alike: np.ndarray) -> list[int]:
    if len(labels) < 3:
        return list(labels)
    # A small weight on every edge keeps the graph in one piece. It is larger between neighbours in WordNet. Otherwise
    # classes that are never confused would be equal, and rounding, which depends on BLAS and threads, would order them.
    places = np.arange(len(labels))
    weights = alike[np.ix_(labels, labels)] + 0.05 / (1 + np.abs(places[:, None] - places))
    np.fill_diagonal(weights, 0)
    scale = 1 / np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(len(labels)) - scale[:, None] * weights * scale
    vector = np.linalg.eigh(laplacian)[1][:, 1] * scale
    if vector @ (places - places.mean()) < 0:  # an eigenvector's sign is the library's choice
        vector = -vector
    return [labels[at] for at in np.argsort(vector, kind="stable")]
