"""How hard each crystal is to predict, learned from the errors of networks that have not seen it.

Crystals that are set aside for calibration are few, and a few hundred errors tell little of what is
hard. Outsiders are networks like the members that have each learned without half of the training
formulas: their errors there are many. From these, boosted trees learn the logarithm of the likely
error from what can be said of any crystal: its composition, the volume of an atom, the predicted
values, and how far it is from what was learned. The members themselves keep all training crystals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import composition_descriptors
from materialabs.errors import InputError
from materialabs.forests import Forest
from materialabs.networks.signals import chemical_groups

Floats = NDArray[np.float64]

FEWEST: Final = 2_000
"""Crystals with an outsider's error; fewer tell little that a calibration does not know."""

TREES, RATE = 200, 0.05
"""Boosted trees, and the share of each one's answer that counts."""

SMALLEST_SHARE: Final = 0.015
"""Share of the crystals in the smallest leaf: errors are noise but for their size on average."""

SMALLEST_ERROR, LARGEST_SHARE = 0.05, 0.99
"""Errors below this part of the median count as it, those above this quantile as the quantile."""

SMALL_TYPES: Final[dict[str, type[np.generic]]] = {
    "feature": np.int16, "left": np.uint16, "threshold": np.float16,
}  # fmt: skip
"""In which a forest is kept; no tree of :data:`SMALLEST_SHARE` has 65,536 nodes."""

STEPS: Final = 127
"""Of a leaf's value in a file, from zero to the largest; the mean of all trees is far finer."""


@dataclass(frozen=True, eq=False)
class Traits:
    """What can be said of n crystals before the truth is known.

    Parameters
    ----------
    values
        [n, columns], predicted values of every head of the model.
    compositions, volumes
        Of the cells, cubic angstrom.
    distances
        [n], from the crystals that were learned from (:mod:`materialabs.networks.domain`).
    """

    values: Floats
    compositions: Compositions
    volumes: Floats
    distances: Floats

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64]) -> Traits:
        """Those of some crystals."""
        return Traits(
            self.values[rows], self.compositions[rows], self.volumes[rows], self.distances[rows]
        )

    @classmethod
    def concat(cls, parts: Sequence[Traits]) -> Self:
        """Join the traits of several sets of crystals."""
        return cls(
            np.concatenate([one.values for one in parts]),
            Compositions.concat([one.compositions for one in parts]),
            np.concatenate([one.volumes for one in parts]),
            np.concatenate([one.distances for one in parts]),
        )

    def table(self) -> Floats:
        """What the trees see of each crystal [n, d], whichever cell is chosen for it."""
        groups = chemical_groups(self.compositions)
        return np.concatenate(
            [
                composition_descriptors(self.compositions).values,
                np.stack([np.asarray(truths, np.float64) for truths in groups.values()], axis=1),
                np.log(self.volumes / self.compositions.atoms)[:, None],
                self.values,
                self.distances[:, None],
            ],
            axis=1,
        )


@dataclass(frozen=True, eq=False)
class Difficulty:
    """What tells hard crystals from easy ones.

    Parameters
    ----------
    heads
        What is predicted.
    forest
        Answers with the logarithm of the likely error of each head, in its ``spreads``.
    spreads
        [k], standard deviations of these logarithms.
    """

    heads: tuple[str, ...]
    forest: Forest
    spreads: Floats

    @classmethod
    def fit(cls, heads: Sequence[str], traits: Traits, errors: Floats) -> Self:
        """Learn from absolute errors of outsiders.

        Parameters
        ----------
        heads
            Names of the k heads.
        traits
            Of n crystals, as the outsiders see them.
        errors
            [n, k], all known.
        """
        if errors.shape != (len(traits), len(heads)) or not np.isfinite(errors).all():
            raise InputError(
                f"Known errors [{len(traits)}, {len(heads)}] are needed, not {errors.shape}."
            )
        logs = np.stack([_logarithms(column) for column in errors.T], axis=1)
        spreads = np.maximum(logs.std(axis=0), np.finfo(float).tiny)
        smallest = max(1, round(SMALLEST_SHARE * len(logs)))
        forest = Forest.boost(
            traits.table(), logs / spreads,
            trees=TREES, rate=RATE, smallest=smallest, share=1.0,
        )  # fmt: skip
        # What is fitted on its answers must be fitted on those that the file gives.
        return cls.from_arrays(cls(tuple(heads), forest, spreads).to_arrays())

    def log_errors(self, traits: Traits) -> dict[str, Floats]:
        """Logarithm of the likely error of each head [n]."""
        if not len(traits):
            return {head: np.zeros(0) for head in self.heads}
        found, _ = self.forest.answers(traits.table())
        return dict(zip(self.heads, (found * self.spreads).T, strict=True))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays for a file, as small as they may be; only leaves keep their values."""
        forest = self.forest.to_arrays()
        with np.errstate(over="ignore"):  # above every threshold is infinity
            small = {name: forest[name].astype(kind) for name, kind in SMALL_TYPES.items()}
        values = np.where(forest["feature"][:, None] < 0, forest["value"], 0.0)
        step = max(float(np.abs(values).max()) / STEPS, np.finfo(np.float32).tiny)
        return small | {
            "roots": forest["roots"], "value": np.round(values / step).astype(np.int8),
            "step": np.array(step), "heads": np.array(self.heads), "spreads": self.spreads,
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read what :meth:`to_arrays` gave."""
        own = dict(arrays)
        heads, spreads, step = own.pop("heads"), own.pop("spreads"), float(own.pop("step"))
        own["value"] = (own["value"] * step).astype(np.float32)
        for name, small in SMALL_TYPES.items():
            whole = np.issubdtype(small, np.integer)
            own[name] = own[name].astype(np.int32 if whole else np.float32)
        return cls(
            tuple(heads.tolist()), Forest.from_arrays(own), np.asarray(spreads, dtype=np.float64)
        )


def _logarithms(errors: Floats) -> Floats:
    least = max(SMALLEST_ERROR * float(np.median(errors)), np.finfo(float).tiny)
    return np.log(np.clip(errors, least, max(np.quantile(errors, LARGEST_SHARE), least)))
