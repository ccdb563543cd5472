"""A classifier's predictions on the val images: guesses, correct images, and the classes it confuses."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble import rule


@dataclass(frozen=True)
class Pair:
    """Two confused classes: `forth` images of `first` are taken for `second`, and `back` images the other way."""

    first: int
    second: int
    forth: int
    back: int


@dataclass(frozen=True)
class Predictions:
    """The scores of one model or of a combination over images whose labels are known."""

    title: str
    split: str
    shares: np.ndarray  #: float (N, 200), each row's scores divided by their sum
    labels: np.ndarray  #: int (N,)
    names: np.ndarray  #: text (N,)
    right: np.ndarray  #: bool (N,), a tie counts as wrong, as in Caffe

    @cached_property
    def guesses(self) -> np.ndarray:
        """The class of the best score, the lowest label if several tie: int (N,)."""
        return self.shares.argmax(axis=1)

    @cached_property
    def confusion(self) -> np.ndarray:
        """The number of images by class and guess: int (200, 200)."""
        counts = np.zeros((rule.CLASSES, rule.CLASSES), dtype=np.int64)
        np.add.at(counts, (self.labels, self.guesses), 1)
        return counts

    @cached_property
    def images(self) -> np.ndarray:
        """The number of images of each class: int (200,)."""
        return np.bincount(self.labels, minlength=rule.CLASSES)

    @cached_property
    def accuracy(self) -> np.ndarray:
        """The accuracy of each class, nan for a class without an image: float (200,)."""
        right = np.bincount(self.labels[self.right], minlength=rule.CLASSES)
        return np.divide(right, self.images, out=np.full(rule.CLASSES, np.nan), where=self.images > 0)

    def taken_for(self, label: int) -> tuple[int, int] | None:
        """The other class that its images get most often, as (class, images); None if none is mistaken."""
        row = self.confusion[label].copy()
        row[label] = 0
        return (int(row.argmax()), int(row.max())) if row.any() else None

    def pairs(self, count: int) -> list[Pair]:
        """The most confused pairs, both ways together, the worst first; equals are ordered by label."""
        both = np.triu(self.confusion + self.confusion.T, 1)
        order = np.argsort(-both, axis=None, kind="stable")[:count]
        places = zip(*np.unravel_index(order, both.shape))
        pairs = (Pair(int(a), int(b), int(self.confusion[a, b]), int(self.confusion[b, a])) for a, b in places)
        return [pair for pair in pairs if pair.forth + pair.back]

    def mistaken(self, label: int, guess: int, count: int) -> np.ndarray:
        """The images of a class that are given another, the surest first: indices, at most `count`."""
        chosen = np.flatnonzero((self.labels == label) & (self.guesses == guess))
        return chosen[np.argsort(-self.shares[chosen, guess], kind="stable")][:count]

    def surest(self, right: bool, count: int) -> np.ndarray:
        """The surest right or wrong guesses, no class twice: indices, at most `count`."""
        sure = self.shares.max(axis=1)
        chosen = np.flatnonzero(self.right == right)
        chosen = chosen[np.argsort(-sure[chosen], kind="stable")]
        _, first = np.unique(self.guesses[chosen], return_index=True)
        return chosen[np.sort(first)][:count]

    def closest(self, count: int) -> np.ndarray:
        """The images with the closest best two scores, one of them the true class: indices, at most `count`."""
        best = np.argpartition(self.shares, -2, axis=1)[:, -2:]
        margin = np.abs(np.diff(np.take_along_axis(self.shares, best, axis=1), axis=1)[:, 0])
        margin[~(best == self.labels[:, None]).any(axis=1)] = np.inf
        order = np.argsort(margin, kind="stable")
        return order[np.isfinite(margin[order])][:count]

    def top(self, image: int, count: int = 5) -> list[tuple[int, float]]:
        """The classes of the best scores of an image: (class, share), the best first."""
        order = np.argsort(-self.shares[image], kind="stable")[:count]
        return [(int(label), float(self.shares[image, label])) for label in order]


def predictions(title: str, split: str, scores: np.ndarray, labels: np.ndarray, names: np.ndarray) -> Predictions:
    """Make predictions from scores (N, 200); a row of zeros counts as equal scores for every class."""
    total = scores.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.divide(scores, total, out=np.full(scores.shape, 1 / rule.CLASSES), where=total > 0)
    return Predictions(title, split, shares, labels, names, rule.hits(scores, labels))
