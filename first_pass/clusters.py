"""K-means as a classifier: clusters of the train images, and the class of each cluster."""

from dataclasses import dataclass

import numpy as np

from ensemble import rule
from harness.errors import UserError

ITERATIONS = 100  # most Lloyd iterations; further ones move the error by less than its interval


@dataclass(frozen=True)
class Clusters:
    """Fitted clusters."""

    model: object  # sklearn.cluster.KMeans
    classes: np.ndarray  #: int64 (clusters,), the most frequent class of each cluster's train images
    train_error: float

    @property
    def iterations(self) -> int:
        return int(self.model.n_iter_)

    def wrong(self, pixels: np.ndarray, labels: np.ndarray) -> int:
        """The number of images whose class is not that of the nearest cluster."""
        return int((self.classes[self.model.predict(pixels)] != labels).sum())


def fit(pixels: np.ndarray, labels: np.ndarray, clusters: int, seed: int) -> Clusters:
    """Cluster images, float32 (n, values) with labels (n,), from one start by k-means++.

    Lloyd's algorithm runs 100 iterations at most. A tie of classes in a cluster goes to the lower label. scikit-learn
    works on a copy of `pixels`, which takes 300 MB for the train set. This keeps fits independent of each other.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise UserError("scikit-learn is missing; make setup installs it") from error
    if clusters > len(pixels):
        raise UserError(f"{clusters} clusters of {len(pixels)} train images; take fewer: CLUSTERS={rule.CLASSES}")
    model = KMeans(clusters, n_init=1, max_iter=ITERATIONS, random_state=seed).fit(pixels)
    votes = np.zeros((clusters, rule.CLASSES), np.int64)
    np.add.at(votes, (model.labels_, labels), 1)
    classes = votes.argmax(axis=1)
    return Clusters(model, classes, float(np.mean(classes[model.labels_] != labels)))
