"""Extremely randomised trees, kept as plain arrays.

P. Geurts, D. Ernst and L. Wehenkel, Mach. Learn. 63, 3 (2006). Classes are learned as columns of
zeros and ones, of which the variance is Gini's impurity, so that a leaf holds probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

TREES: Final = 120
"""Of a forest; more change the error by less than its noise."""

BOOSTED_TREES: Final = 200
"""Of a boosted forest."""

BOOSTED_LEAF: Final = 5
"""Rows of the smallest leaf of a boosted tree."""

RATE: Final = 0.1
"""Share of a boosted tree's answer that counts."""

SHARE_TRIED: Final = 0.4
"""Share of the features that are tried at a node."""

LARGEST_SEED: Final = 2**31 - 1

Tree = tuple[NDArray[Any], ...]


@dataclass(frozen=True, eq=False)
class Forest:
    """A grown forest.

    Parameters
    ----------
    roots
        int64 [trees+1], the first node of each tree.
    feature
        int32 [nodes], the feature that a node asks for; -1 in leaves.
    threshold
        float32 [nodes]; a row at or below goes to the left.
    left
        int32 [nodes], the left child counted from the tree's root; the right one stands after it.
    value
        float32 [nodes, k], mean of the targets.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    value: NDArray[np.float32]

    @classmethod
    def grow(
        cls, features: Floats, targets: Floats, *, trees: int = TREES, smallest: int = 1,
        share: float = SHARE_TRIED, seed: int = 0,
    ) -> Self:  # fmt: skip
        """Grow trees on all rows.

        Parameters
        ----------
        features, targets
            [n, d] and [n, k].
        trees
            Number of trees.
        smallest
            Rows of the smallest leaf.
        share
            Share of the features that are tried at a node.
        seed
            The same seed grows the same forest.
        """
        columns, values = _columns(features), np.ascontiguousarray(targets, dtype=np.float64)
        seeds = np.random.default_rng(seed).integers(0, LARGEST_SEED, trees)
        grown = [_tree(columns, values, smallest, share, one) for one in seeds.tolist()]
        return cls.joined(grown)

    @classmethod
    def boost(
        cls, features: Floats, targets: Floats, *, trees: int = BOOSTED_TREES,
        smallest: int = BOOSTED_LEAF, share: float = SHARE_TRIED, rate: float = RATE, seed: int = 0,
    ) -> Self:  # fmt: skip
        """Grow each tree on what those before it have left over (J. Friedman, 2001).

        The mean over the trees is the boosted sum: their values are scaled for that.

        Parameters
        ----------
        features, targets, trees, smallest, share, seed
            As in :meth:`grow`.
        rate
            Share of a tree's answer that counts.
        """
        rows: Singles = np.ascontiguousarray(features, dtype=np.float32)
        columns, middle = _columns(rows), targets.mean(axis=0)
        left: Floats = np.ascontiguousarray(targets - middle, dtype=np.float64)
        seeds = np.random.default_rng(seed).integers(0, LARGEST_SEED, trees)
        grown = []
        for one in seeds.tolist():
            tree = _tree(columns, left, smallest, share, one)
            left = np.subtract(left, rate * cls.joined([tree]).answers(rows)[0])
            grown.append((*tree[:3], (rate * trees * tree[3] + middle).astype(np.float32)))
        return cls.joined(grown)

    @classmethod
    def joined(cls, grown: Sequence[Tree]) -> Self:
        """One forest of trees, each feature, threshold, left and value of its nodes."""
        roots = np.concatenate([[0], np.cumsum([len(one[0]) for one in grown])]).astype(np.int64)
        return cls(roots, *(np.concatenate(parts) for parts in zip(*grown, strict=True)))

    def answers(self, features: Floats | Singles) -> tuple[Floats, Floats]:
        """Mean over the trees [n, k], and their standard deviation [n, k]."""
        from materialabs.forest_kernels import walk_trees

        rows = np.ascontiguousarray(features, dtype=np.float32)
        mean = np.zeros((len(rows), self.value.shape[1]))
        squares = np.zeros_like(mean)
        walk_trees(
            rows, self.roots, self.feature, self.threshold, self.left, self.value, mean, squares
        )
        return mean, np.sqrt(np.maximum(squares - mean**2, 0.0))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays, for a file."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read what :meth:`to_arrays` gave."""
        return cls(**{item.name: np.ascontiguousarray(arrays[item.name]) for item in fields(cls)})


def _columns(features: Floats | Singles) -> Singles:
    return np.ascontiguousarray(features.T, dtype=np.float32)


def _tree(columns: Singles, targets: Floats, smallest: int, share: float, seed: int) -> Tree:
    """Feature, threshold, left child and value of the nodes of one tree."""
    from materialabs.forest_kernels import grow_tree

    most, tried = 2 * len(targets), max(1, round(share * len(columns)))
    feature, left = np.empty(most, np.int32), np.zeros(most, np.int32)
    threshold = np.zeros(most, np.float32)
    value = np.empty((most, targets.shape[1]), np.float32)
    nodes = grow_tree(columns, targets, tried, smallest, seed, feature, threshold, left, value)
    return tuple(array[:nodes].copy() for array in (feature, threshold, left, value))
