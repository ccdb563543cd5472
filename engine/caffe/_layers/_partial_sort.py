"""The order of C++'s std::partial_sort for pairs that hold NaN, for ArgMax.

NaN has no place in an order, so the result depends on the algorithm. This is the one of GCC's library, which
real Caffe uses.
"""

Pair = tuple[float, int]


def _greater(a: Pair, b: Pair) -> bool:
    """std::greater of two pairs, because Python's own comparison of tuples treats NaN differently."""
    return b[0] < a[0] or (not a[0] < b[0] and b[1] < a[1])


def _sift(heap: list[Pair], hole: int, length: int, value: Pair) -> None:
    """Put a value into the heap at or below a hole (std::__adjust_heap): down to a leaf, then up."""
    top, child = hole, hole
    while child < (length - 1) // 2:
        child = 2 * (child + 1)
        if _greater(heap[child], heap[child - 1]):
            child -= 1
        heap[hole], hole = heap[child], child
    if length % 2 == 0 and child == (length - 2) // 2:
        child = 2 * child + 1
        heap[hole], hole = heap[child], child
    while hole > top and _greater(heap[(hole - 1) // 2], value):
        heap[hole], hole = heap[(hole - 1) // 2], (hole - 1) // 2
    heap[hole] = value


def largest(values: list[float], count: int) -> list[Pair]:
    """The first ``count`` pairs (value, index) after std::partial_sort with std::greater."""
    pairs = [(value, index) for index, value in enumerate(values)]
    heap, rest = pairs[:count], pairs[count:]
    for hole in range((count - 2) // 2, -1, -1):
        _sift(heap, hole, count, heap[hole])
    for pair in rest:
        if _greater(pair, heap[0]):
            _sift(heap, 0, count, pair)
    for last in range(count - 1, 0, -1):
        value, heap[last] = heap[last], heap[0]
        _sift(heap, 0, last, value)
    return heap
