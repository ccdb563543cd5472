"""Keeps the last n snapshots of a run and the best one (`make train-nin1 KEEP=n`).

The best snapshot has the highest val accuracy in the log. A net without an accuracy is judged by its test
loss. If a training has diverged, the last snapshot from before stays too. A snapshot is removed only after a newer
one was read and found whole.
"""

from collections.abc import Callable

from training.curves import Curves, is_lost
from training.falling import last_good
from training.snapshots import Snapshot, fault, snapshots


class Keep:
    """Removes the snapshots that need not stay, while a training writes new ones.

    Args:
        prefix: the solver's snapshot_prefix.
        count: the number of last snapshots that stay, 1 or more.
        curves: the run's curves, which grow during the run.
        say: prints one line for the user.
    """

    def __init__(self, prefix: str, count: int, curves: Curves, say: Callable[[str], None]):
        self.prefix, self.count, self._curves, self._say = prefix, count, curves, say
        self._seen: list[tuple] = []
        self._judged: list[tuple] = []
        self._whole: dict[tuple, bool] = {}
        self._stuck: set[Snapshot] = set()

    def most_to_come(self) -> int:
        """The largest number of further snapshots at one time: the last, the best, the one being written.

        A snapshot that stays because the training diverged is not counted in advance.
        """
        return max(1, self.count + 2 - len(snapshots(self.prefix)))

    def tick(self) -> None:
        """Look for a new snapshot; call this regularly. Skip a snapshot that is still being written."""
        seen = [_look(snapshot) for snapshot in snapshots(self.prefix)]
        settled, self._seen = seen == self._seen, seen
        if settled and seen != self._judged:
            self._judged = seen
            self.prune()

    def prune(self) -> None:
        """Remove the snapshots that need not stay."""
        found = snapshots(self.prefix)
        last: list[Snapshot] = []
        for snapshot in found:
            if len(last) < self.count and self._is_whole(snapshot):
                last.append(snapshot)
        if not last:
            return
        stay = {*last, self._best(found), self._before_diverging(found)}
        for snapshot in found:
            if snapshot.iteration < last[0].iteration and snapshot not in stay:
                self._remove(snapshot)

    def _best(self, found: list[Snapshot]) -> Snapshot | None:
        score = dict(self._curves.series("accuracy") or [(i, -loss) for i, loss in self._curves.series("loss")])
        tested = (snapshot for snapshot in found if snapshot.iteration in score)
        ranked = sorted(tested, key=lambda each: (score[each.iteration], each.iteration), reverse=True)
        return next(filter(self._is_whole, ranked), None)

    def _before_diverging(self, found: list[Snapshot]) -> Snapshot | None:
        shown = self._curves.displayed
        if not shown or not is_lost(shown[-1].loss):
            return None
        good = (snapshot for snapshot in found if snapshot.iteration <= last_good(self._curves))
        return next(filter(self._is_whole, good), None)

    def _is_whole(self, snapshot: Snapshot) -> bool:
        look = _look(snapshot)
        if look not in self._whole:
            self._whole[look] = fault(snapshot) is None
        return self._whole[look]

    def _remove(self, snapshot: Snapshot) -> None:
        try:
            snapshot.remove()
        except OSError as error:
            if snapshot not in self._stuck:
                self._stuck.add(snapshot)
                self._say(f"training.run: cannot remove {error.filename}: {error.strerror}")


def _look(snapshot: Snapshot) -> tuple:
    """A value that changes when a file of a snapshot does."""
    look: list[object] = [snapshot.iteration]
    for path in (snapshot.state, snapshot.model, snapshot.manifest):
        try:
            status = path.stat()
            look.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            look.append(None)
    return tuple(look)
