"""How far a crystal is from those that a model has learned from, as a score from 0 to 1.

The score is a rank: the share of held-out crystals, of the kind learned from, that look at least
as strange. A crystal is as strange as the strangest of four things about it: its distance from the
training data in the network's own features, the rarity of its rarest element, the rarity of its
rarest pair of elements, and its atomic volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.elements import COVALENT_RADIUS, SYMBOLS
from materialabs.errors import InputError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

DIRECTIONS: Final = 16
"""Principal directions of the features that distances are measured in."""

PROTOTYPES: Final = 3_000
"""Training crystals kept to measure distances from."""

NEARLY_ALL: Final = 30_000
"""The same where distances have to tell what is hard to predict; every unrelaxed copy is one."""

NEIGHBOUR: Final = 5
"""The distance is that to the fifth nearest of them: one odd crystal makes no domain."""

TABLE: Final = 1_000
"""Held-out values kept of each ingredient."""

FEWEST: Final = 20
"""Training and held-out crystals; with fewer there is no domain to speak of."""

AT_ONCE: Final = 500_000
"""Distances that are computed at once (4 MB)."""

GROUP: Final = 64
"""Prototypes of which the nearest is looked for first."""

MOST_SEEN: Final = 65_535
"""Pairs seen more often count as seen so often."""

ELEMENTS: Final = len(SYMBOLS)


@dataclass(frozen=True, eq=False)
class Strangeness:
    """What is strange about each of n crystals.

    Parameters
    ----------
    score
        [n], 0 ... 1: the share of known crystals that are at least as strange; 0 where an element
        was never learned from.
    distance
        [n], from the training crystals in whitened features.
    rarity
        [n], -ln(1 + number of training crystals with the rarest element); 0 for a new element.
    pair_rarity
        [n], the same for the rarest pair of elements.
    volume
        [n], ln(atomic volume / estimate).
    new_elements
        For each crystal the symbols that were never learned from.
    """

    score: Floats
    distance: Floats
    rarity: Floats
    pair_rarity: Floats
    volume: Floats
    new_elements: tuple[tuple[str, ...], ...]

    def reasons(self) -> list[str]:
        """What to tell about each crystal; empty where nothing is new."""
        return [
            f"{' and '.join(new)} never seen in training"
            if new
            else ("two elements never seen together in training" if pair >= 0.0 else "")
            for new, pair in zip(self.new_elements, self.pair_rarity.tolist(), strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Domain:
    """What a model has learned from, small enough to ship (150 kB, or 1 MB with nearly all of it).

    Parameters
    ----------
    centre, directions
        [d] and [d, k], what takes features to whitened principal directions.
    prototypes
        [p, k], training crystals in these directions.
    element_counts, pair_counts
        [119] and [119, 119], training crystals with an element, with a pair.
    distances, rarities, pair_rarities, volumes, extremes
        Rising values of held-out crystals; extremes are the smallest rank of any ingredient.
    usual_volume
        Middle of ln(atomic volume / estimate) in training.
    """

    centre: Floats
    directions: Floats
    prototypes: Floats
    element_counts: Whole
    pair_counts: Whole
    distances: Floats
    rarities: Floats
    pair_rarities: Floats
    volumes: Floats
    extremes: Floats
    usual_volume: Floats

    @classmethod
    def fit(
        cls,
        features: NDArray[Any],
        compositions: Compositions,
        volumes: Floats,
        held_out: NDArray[np.bool_],
        *,
        prototypes: int = PROTOTYPES,
        seed: int = 0,
    ) -> Self:
        """Describe the training crystals, ranked by held-out ones from the same source.

        Parameters
        ----------
        features
            [n, d], the network's pooled features of training and held-out crystals.
        compositions
            Of the n cells.
        volumes
            [n], cubic angstrom of the cells.
        held_out
            [n], True for crystals that the network has not learned from.
        prototypes
            Training crystals to keep at most.
        seed
            For drawing the prototypes.
        """
        values, learned = _features(features, len(compositions)), ~np.asarray(held_out, bool)
        if min(learned.sum(), (~learned).sum()) < FEWEST:
            raise InputError(
                f"A domain needs {FEWEST} training and {FEWEST} held-out crystals or more; "
                f"{learned.sum()} and {(~learned).sum()} were given."
            )
        centre, directions = _whitening(values[learned])
        rows = np.flatnonzero(learned)
        random = np.random.default_rng(seed)
        kept = np.sort(random.choice(rows, min(prototypes, len(rows)), replace=False))
        elements, pairs = _counts(compositions[learned])
        logs = _log_volumes(compositions, volumes)
        nothing = np.zeros(1)
        bare = cls(
            centre, directions, (values[kept] - centre) @ directions, elements, pairs,
            nothing, nothing, nothing, nothing, nothing,
            np.array([np.median(logs[learned])]),
        )  # fmt: skip
        return bare._ranked(values[~learned], compositions[~learned], volumes[~learned])

    def judge(
        self, features: NDArray[Any], compositions: Compositions, volumes: Floats
    ) -> Strangeness:
        """How strange crystals are.

        Parameters
        ----------
        features
            [n, d], the network's pooled features.
        compositions
            Of the n cells.
        volumes
            [n], cubic angstrom of the cells.
        """
        parts = self._ingredients(_features(features, len(compositions)), compositions, volumes)
        distance, rarity, pair_rarity, volume = parts
        score = _share_at_most(self.extremes, self._smallest_rank(parts))
        unseen = self.element_counts[compositions.elements] == 0
        new = tuple(
            tuple(SYMBOLS[z] for z in compositions.elements[start:stop][unseen[start:stop]])
            for start, stop in pairwise(compositions.offsets.tolist())
        )
        score = np.where([bool(symbols) for symbols in new], 0.0, score)
        return Strangeness(score, distance, rarity, pair_rarity, volume, new)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays for a file: floats as float32, prototypes as float16."""
        arrays = {item.name: getattr(self, item.name) for item in fields(self)}
        small = {name: array.astype(np.float32) for name, array in arrays.items()}
        small["prototypes"] = self.prototypes.astype(np.float16)
        small["element_counts"] = self.element_counts.astype(np.int32)
        small["pair_counts"] = np.minimum(self.pair_counts, MOST_SEEN).astype(np.uint16)
        return small

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read what :meth:`to_arrays` gave."""
        missing = [item.name for item in fields(cls) if item.name not in arrays]
        if missing:
            raise InputError(f"This is not a domain: {missing[0]} is missing.")
        whole = ("element_counts", "pair_counts")
        given: dict[str, Any] = {
            item.name: np.asarray(arrays[item.name], np.int64 if item.name in whole else float)
            for item in fields(cls)
        }
        return cls(**given)

    def _ranked(self, values: Floats, compositions: Compositions, volumes: Floats) -> Self:
        """The same domain with the held-out crystals' values as its tables."""
        parts = self._ingredients(values, compositions, volumes)
        distance, rarity, pair_rarity = (_table(part) for part in parts[:3])
        ranked = replace(
            self, distances=distance, rarities=rarity, pair_rarities=pair_rarity,
            volumes=_table(np.abs(parts[3])),
        )  # fmt: skip
        return replace(ranked, extremes=_table(ranked._smallest_rank(parts)))

    def _ingredients(
        self, values: Floats, compositions: Compositions, volumes: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        where = (values - self.centre) @ self.directions
        rarity, pair_rarity = self._rarities(compositions)
        volume = _log_volumes(compositions, volumes) - self.usual_volume[0]
        return self._distances(where), rarity, pair_rarity, volume

    def _smallest_rank(self, parts: tuple[Floats, Floats, Floats, Floats]) -> Floats:
        tables = (self.distances, self.rarities, self.pair_rarities, self.volumes)
        values = (*parts[:3], np.abs(parts[3]))
        ranks = [_share_at_least(t, v) for t, v in zip(tables, values, strict=True)]
        return np.asarray(np.min(ranks, axis=0))

    def _distances(self, where: Floats) -> Floats:
        """To the fifth nearest prototype [n].

        The five nearest of all are in those five groups whose nearest ones are the nearest.
        """
        count, columns = self.prototypes.shape
        groups = -(-count // GROUP)
        nearest = min(NEIGHBOUR, count) - 1
        kept = min(nearest + 1, groups)
        slopes, squares = np.zeros((columns, groups * GROUP)), np.full(groups * GROUP, np.inf)
        slopes[:, :count] = -2.0 * self.prototypes.T
        squares[:count] = (self.prototypes**2).sum(axis=1)
        found = np.zeros(len(where))
        rows = max(1, AT_ONCE // len(squares))
        for start in range(0, len(where), rows):
            block = where[start : start + rows]
            gaps = (block @ slopes + squares).reshape(len(block), groups, GROUP)
            near = np.argpartition(gaps.min(axis=2), kept - 1, axis=1)[:, :kept]
            few = np.take_along_axis(gaps, near[:, :, None], axis=1).reshape(len(block), -1)
            closest = np.partition(few, nearest, axis=1)[:, nearest]
            found[start : start + rows] = closest + (block**2).sum(axis=1)
        return np.sqrt(np.maximum(found, 0.0))

    def _rarities(self, compositions: Compositions) -> tuple[Floats, Floats]:
        """Rarity of the rarest element and of the rarest pair of each composition [n]."""
        single = -np.log1p(self.element_counts.astype(np.float64))
        double = -np.log1p(self.pair_counts.astype(np.float64))
        elements = [
            compositions.elements[start:stop].astype(np.int64)
            for start, stop in pairwise(compositions.offsets.tolist())
        ]
        rarity = np.array([single[z].max() for z in elements])
        pairs = np.array([double[np.ix_(z, z)].max() for z in elements])
        return rarity.reshape(-1), pairs.reshape(-1)


def _features(features: NDArray[Any], count: int) -> Floats:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or len(values) != count:
        raise InputError(f"{count} crystals need features [{count}, d], not {values.shape}.")
    return values


def _whitening(values: Floats) -> tuple[Floats, Floats]:
    """Centre and principal directions, each scaled to unit variance, at most sixteen."""
    centre = values.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov((values - centre).T).reshape(values.shape[1], -1))
    order = np.argsort(variances)[::-1][:DIRECTIONS]
    kept = order[variances[order] > variances.max() * 1e-9]
    return centre, vectors[:, kept] / np.sqrt(variances[kept])


def _counts(compositions: Compositions) -> tuple[Whole, Whole]:
    """Crystals with each element [119], and with each pair [119, 119]; the diagonal is single."""
    present = (compositions.dense(range(ELEMENTS)) > 0).astype(np.float64)
    together = np.rint(present.T @ present).astype(np.int64)
    return np.diag(together).copy(), together


def _log_volumes(compositions: Compositions, volumes: Floats) -> Floats:
    """ln(volume / estimate) [n]; zero where an element's volume is not known."""
    logs = np.zeros(len(compositions))
    known = np.isfinite(COVALENT_RADIUS)[compositions.elements]
    whole = np.array([known[a:b].all() for a, b in pairwise(compositions.offsets.tolist())], bool)
    if whole.any():
        estimate = estimated_volumes(compositions[whole])
        logs[whole] = np.log(np.asarray(volumes, dtype=np.float64)[whole] / estimate)
    return logs


def _table(values: Floats) -> Floats:
    """At most a thousand rising values that stand for all."""
    if len(values) <= TABLE:
        return np.sort(values)
    return np.asarray(np.quantile(values, (np.arange(TABLE) + 0.5) / TABLE))


def _share_at_least(table: Floats, values: Floats) -> Floats:
    """Share of the table that is at least each value, itself counted in."""
    slack = 1e-6 * (1.0 + np.abs(values))
    above = len(table) - np.searchsorted(table, values - slack, side="left")
    return np.asarray((above + 1.0) / (len(table) + 1.0))


def _share_at_most(table: Floats, values: Floats) -> Floats:
    """Share of the table that is at most each value, itself counted in."""
    slack = 1e-6 * (1.0 + np.abs(values))
    below = np.searchsorted(table, values + slack, side="right")
    return np.asarray((below + 1.0) / (len(table) + 1.0))
