"""Labels chosen together, so that every class gets as many images as every other: transductive, and off by default.

Val and test of Tiny ImageNet hold exactly 50 images of each class. That is knowledge about the set, not about an
image; a single picture comes without it. The report's authors considered it (section 6) and did not use it.

Each class has a price, which is added to the logarithm of its score. Classes with low prices are chosen less often.
The prices solve an entropic optimal transport of the images to the classes. The shares of an image are
softmax((log score + price) / e). Over all images they add up to the count wanted of each class. Sinkhorn's scaling
finds the prices (Cuturi, Sinkhorn Distances, 2013). It repeats one exact step while e falls from 1 to 0.05. At 0.05
nearly all of an image's share lies on one class.
"""

from __future__ import annotations

import numpy as np

from ensemble.log_softmax import log_scores, softmax

#: e, from the softest to the hardest; each starts from the prices of the one before.
ENTROPIES = (1.0, 0.5, 0.25, 0.1, 0.05)
#: The prices have converged when the classes' counts together are off by at most this share of the images.
TOLERANCE = 0.002
TURNS = 500
#: The strengths tried for balancing: factors on the prices.
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
#: The mark that every output puts on labels chosen this way.
MARK = "transductive: labels chosen together, from the knowledge that every class has as many images"


def prices(logs: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """The classes' prices: log scores (N, C), images wanted of each class (C,) -> float64 (C,), mean 0.

    Without `counts` every class gets N / C. Raises ValueError for counts that are not above 0.
    """
    images, classes = logs.shape
    wanted = np.full(classes, images / classes) if counts is None else np.asarray(counts, dtype=np.float64)
    if (wanted <= 0).any():
        raise ValueError("every class is to get more than no image")
    wanted = wanted * images / wanted.sum()
    given = logs.astype(np.float32)  # 1e-6 of a price is nothing beside the tolerance
    found = np.zeros(classes)
    for entropy in ENTROPIES:
        for _ in range(TURNS):
            got = softmax((given + found.astype(np.float32)) / np.float32(entropy)).sum(axis=0, dtype=np.float64)
            if np.abs(got - wanted).sum() <= TOLERANCE * images:
                break
            found += entropy * np.log(wanted / np.maximum(got, 1e-12))
        found -= found.mean()
    return found


def balanced(scores: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Scores (N, C), none negative -> their logarithms with prices (N, C), whose highest are the balanced labels."""
    logs = log_scores(scores)
    return logs + strength * prices(logs)
