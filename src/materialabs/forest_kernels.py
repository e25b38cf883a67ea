"""Compiled growth and walking of extremely randomised trees."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.random_kernels import uniform

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Whole = NDArray[np.int32]

LEAF = -1
"""Stands for the feature of a node that is a leaf."""

SAME = 1e-9
"""Relative spread below which a feature or a target is constant in a node."""


@njit(cache=True, nogil=True)
def grow_tree(
    features: Singles, targets: Floats, candidates: int, smallest: int, seed: int,
    feature: Whole, threshold: Singles, left: Whole, value: Singles,
) -> int:  # fmt: skip
    """Grow one tree on all rows and return its number of nodes.

    At each node ``candidates`` features that vary there are cut at random between their extremes,
    and the cut that lowers the variance of the targets most is kept (P. Geurts, D. Ernst and
    L. Wehenkel, Mach. Learn. 63, 3, 2006).

    Parameters
    ----------
    features
        [d, n], one row for each feature.
    targets
        [n, k].
    candidates, smallest
        Features tried at a node, rows of the smallest leaf.
    seed
        Decides every choice.
    feature, threshold, left, value
        Filled: [m], [m], [m], [m, k] for up to m = 2 n nodes; the right child stands after the
        left one.
    """
    random = np.array([seed], np.uint64)
    kinds, count = features.shape
    rows, order = np.arange(count).astype(np.int32), np.arange(kinds).astype(np.int32)
    starts, stops = np.empty(2 * count + 2, np.int32), np.empty(2 * count + 2, np.int32)
    starts[0], stops[0] = 0, count
    total = np.empty(targets.shape[1])
    own, wanted = np.empty(count, np.float32), np.empty((targets.shape[1], count))
    nodes, node = 1, 0
    while node < nodes:
        start, stop = starts[node], stops[node]
        spread = _summed(targets, rows, start, stop, total)
        value[node] = total / (stop - start)
        feature[node] = LEAF
        if stop - start >= 2 * smallest and spread > SAME:
            best, cut = _best_cut(
                features, targets, rows, start, stop, total, order, candidates, smallest, random,
                own, wanted,
            )  # fmt: skip
            if best >= 0:
                middle = _parted(features[best], rows, start, stop, cut)
                feature[node], threshold[node], left[node] = best, cut, nodes
                starts[nodes], stops[nodes] = start, middle
                starts[nodes + 1], stops[nodes + 1] = middle, stop
                nodes += 2
        node += 1
    return nodes


@njit(cache=True, nogil=True)
def _summed(targets: Floats, rows: Whole, start: int, stop: int, total: Floats) -> float:
    """Sums of the targets of a node, and the sum of their squared deviations."""
    spread = 0.0
    for k in range(targets.shape[1]):
        first = targets[rows[start], k]
        shifted, squares = 0.0, 0.0
        for place in range(start, stop):
            one = targets[rows[place], k] - first  # shifted, so that nothing is lost to rounding
            shifted += one
            squares += one * one
        total[k] = shifted + first * (stop - start)
        spread += squares - shifted * shifted / (stop - start)
    return spread


@njit(cache=True, nogil=True)
def _best_cut(
    features: Singles, targets: Floats, rows: Whole, start: int, stop: int, total: Floats,
    order: Whole, candidates: int, smallest: int, random: NDArray[np.uint64],
    own: Singles, wanted: Floats,
) -> tuple[int, np.float32]:  # fmt: skip
    """The feature and the threshold that lower the variance most; feature -1 where none does.

    ``own`` [n] and ``wanted`` [k, n] are room for a node's features and targets side by side, so
    that the inner loops run over them without jumps.
    """
    best, found, cut = -1.0, -1, np.float32(0.0)
    kinds, tried, size = len(order), 0, stop - start
    for k in range(targets.shape[1]):
        for at in range(size):
            wanted[k, at] = targets[rows[start + at], k]
    for place in range(kinds):
        if tried == candidates:
            break
        other = place + int(uniform(random) * (kinds - place))
        kind = order[other]
        order[place], order[other] = kind, order[place]
        low = high = features[kind, rows[start]]
        for at in range(size):
            one = features[kind, rows[start + at]]
            own[at] = one
            low, high = min(low, one), max(high, one)
        if high - low <= SAME * max(abs(low), abs(high)):
            continue
        tried += 1
        threshold = np.float32(low + uniform(random) * (high - low))
        if threshold >= high:
            threshold = low
        gain = _gain(own, wanted, size, total, threshold, smallest)
        if gain > best:
            best, found, cut = gain, kind, threshold
    return found, cut


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _gain(
    own: Singles, wanted: Floats, size: int, total: Floats, threshold: np.float32, smallest: int
) -> float:
    """How far a cut lowers the sum of squared deviations; -1 where a side would be too small.

    Sums may be taken in any order, so that they run in the processor's vectors: cuts that are
    equally good to the last digit may fall otherwise on another kind of processor.
    """
    gain, fewer = 0.0, 0
    for at in range(size):
        fewer += own[at] <= threshold
    if fewer < smallest or size - fewer < smallest:
        return -1.0
    for k in range(len(wanted)):
        part = 0.0
        for at in range(size):
            part += wanted[k, at] if own[at] <= threshold else 0.0
        gap = part / fewer - (total[k] - part) / (size - fewer)
        gain += fewer * (size - fewer) / size * gap * gap
    return gain


@njit(cache=True, nogil=True)
def _parted(column: Singles, rows: Whole, start: int, stop: int, cut: np.float32) -> int:
    """Bring the rows at or below the cut to the front and return where the others start."""
    low, high = start, stop - 1
    while low <= high:
        if column[rows[low]] <= cut:
            low += 1
        else:
            rows[low], rows[high] = rows[high], rows[low]
            high -= 1
    return low


@njit(cache=True, nogil=True)
def walk_trees(
    features: Singles, roots: NDArray[np.int64], feature: Whole, threshold: Singles, left: Whole,
    value: Singles, mean: Floats, squares: Floats,
) -> None:  # fmt: skip
    """Average the answers of the trees, and their squares.

    Parameters
    ----------
    features
        [n, d], one row for each composition.
    roots
        [trees+1], the first node of each tree; children are counted from there.
    feature, threshold, left, value
        Of all nodes, tree after tree.
    mean, squares
        [n, k], filled.
    """
    trees = len(roots) - 1
    for row in range(features.shape[0]):
        for tree in range(trees):
            at = roots[tree]
            while feature[at] != LEAF:
                stays = features[row, feature[at]] <= threshold[at]
                at = roots[tree] + (left[at] if stays else left[at] + 1)
            for k in range(value.shape[1]):
                one = value[at, k]
                mean[row, k] += one / trees
                squares[row, k] += one * one / trees
