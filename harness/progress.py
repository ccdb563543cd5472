"""Progress bars: on a terminal where tqdm is installed, else nothing at all."""

from __future__ import annotations

try:
    from tqdm import tqdm
except ImportError:  # where only training needs to run, or real Caffe's Python
    tqdm = None


def bar(iterable=None, **options):
    """tqdm's bar: iterate over it, or `with bar(total=n) as progress: progress.update(k)`."""
    return _Nothing(iterable) if tqdm is None else tqdm(iterable, disable=None, dynamic_ncols=True, **options)


class _Nothing:
    def __init__(self, iterable):
        self._iterable = iterable

    def __iter__(self):
        return iter(self._iterable)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, count=1):
        pass
