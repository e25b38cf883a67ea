"""How far an error reaches: half-widths of intervals of any probability, as a small table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

ONE_SIGMA: Final = 2.0 * NormalDist().cdf(1.0) - 1.0
"""Probability of the interval that reaches one standard deviation to either side, 0.6827."""

NINETY_PERCENT: Final = 0.9
"""Probability of an interval unless another is asked for."""

NORMAL_POINTS: Final = 401
"""Probabilities at which the normal distribution is tabulated; between them it is off by less
than 1e-3 of a standard deviation."""

NORMAL_REACH: Final = 30.0
"""The tabulated normal distribution ends at the probability 1 - exp(-30), 7.6 deviations."""


@dataclass(frozen=True, eq=False)
class IntervalShape:
    """How many standard deviations an interval of each probability reaches to either side.

    Between the tabulated probabilities p the reach is linear in -log(1 - p), from zero at p = 0;
    beyond the last it goes on like an exponential tail, never slower than from zero to there.

    Parameters
    ----------
    probabilities
        [k], rising, between 0 and 1.
    factors
        [g, k], standard deviations, not falling along k; one row for each kind of crystal.
    """

    probabilities: Floats
    factors: Floats

    def __post_init__(self) -> None:
        probabilities = np.array(self.probabilities, dtype=np.float64)
        factors = np.atleast_2d(np.array(self.factors, dtype=np.float64))
        if probabilities.ndim != 1 or not len(probabilities):
            raise InputError("The shape of an interval needs one probability or more.")
        if factors.ndim != 2 or factors.shape[1] != len(probabilities) or not len(factors):
            raise InputError(
                f"{len(probabilities)} probabilities need factors of shape [groups, "
                f"{len(probabilities)}], not {factors.shape}."
            )
        inside = (probabilities > 0) & (probabilities < 1)
        if not inside.all() or (np.diff(probabilities) <= 0).any():
            raise InputError("The probabilities of intervals rise and lie between 0 and 1.")
        if not np.isfinite(factors).all() or (factors < 0).any():
            raise InputError("The reach of an interval is a number, not below zero.")
        if (np.diff(factors, axis=1) < 0).any():
            raise InputError("An interval of higher probability must not be narrower.")
        for name, array in (("probabilities", probabilities), ("factors", factors)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def normal(cls) -> IntervalShape:
        """The normal distribution: 90 % within 1.645 standard deviations."""
        return _normal()

    def __len__(self) -> int:
        return len(self.factors)

    def reach(self, probability: float, rows: ArrayLike) -> Floats:
        """Half-widths [n] in standard deviations.

        Parameters
        ----------
        probability
            Of the interval, between 0 and 1.
        rows
            [n], the row of the table for each crystal.
        """
        require_probability(probability)
        depth = -np.log1p(-self.probabilities)
        wanted = -np.log1p(-probability)
        place = int(np.searchsorted(depth, wanted))
        if place == len(depth):
            factors = self.factors[:, -1] + self._tail_slopes(depth) * (wanted - depth[-1])
        else:
            low_depth = depth[place - 1] if place else 0.0
            low = self.factors[:, place - 1] if place else np.zeros(len(self))
            share = (wanted - low_depth) / (depth[place] - low_depth)
            factors = low + share * (self.factors[:, place] - low)
        return np.asarray(factors[np.asarray(rows, dtype=np.int64)])

    def probability_within(self, reach: ArrayLike, rows: ArrayLike) -> Floats:
        """Probability that an error is within so many standard deviations [n] to either side."""
        asked, groups = np.broadcast_arrays(
            np.maximum(np.asarray(reach, dtype=np.float64), 0.0), np.asarray(rows)
        )
        depth = np.concatenate([[0.0], -np.log1p(-self.probabilities)])
        slopes = self._tail_slopes(depth[1:])
        found = np.zeros(asked.shape)
        for row in np.unique(groups):
            mine = groups == row
            ladder = np.maximum.accumulate(np.concatenate([[0.0], self.factors[row]]))
            steps = ladder + np.arange(len(ladder)) * 1e-15  # a flat step has one inverse
            inner = np.interp(asked[mine], steps, depth)
            beyond = np.maximum(asked[mine] - ladder[-1], 0.0) / max(slopes[row], 1e-300)
            found[mine] = -np.expm1(-(inner + beyond))
        return found

    def overshoot(self, reach: ArrayLike, rows: ArrayLike) -> Floats:
        """How far errors go beyond a reach to one side, on average, in standard deviations [n].

        That is the mean of max(error - reach, 0) for errors that are as likely to either side;
        exact for the table, whose tail probabilities are exponential between its points.
        """
        asked, groups = np.broadcast_arrays(
            np.maximum(np.asarray(reach, dtype=np.float64), 0.0), np.asarray(rows)
        )
        depth = np.concatenate([[0.0], -np.log1p(-self.probabilities)])
        slopes = self._tail_slopes(depth[1:])
        tails = np.exp(-depth)
        found = np.zeros(asked.shape)
        for row in np.unique(groups):
            mine = groups == row
            ladder = np.concatenate([[0.0], self.factors[row]])
            steps = np.diff(ladder) / np.diff(depth)
            pieces = np.append(steps * -np.diff(tails), slopes[row] * tails[-1])
            left = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
            place = np.searchsorted(ladder, asked[mine], side="right") - 1
            slope = np.append(steps, slopes[row])[place]
            passed = (asked[mine] - ladder[place]) / np.maximum(slope, 1e-300)
            cut = slope * tails[place] * -np.expm1(-passed)
            found[mine] = np.maximum(left[place] - cut, 0.0) / 2.0
        return found

    def _tail_slopes(self, depth: Floats) -> Floats:
        """Standard deviations for each unit of -log(1 - p) beyond the table [g]."""
        overall = self.factors[:, -1] / depth[-1]
        if len(depth) < 2:
            return np.asarray(overall)
        last = (self.factors[:, -1] - self.factors[:, -2]) / (depth[-1] - depth[-2])
        return np.asarray(np.maximum(overall, last))

    def joined(self, other: IntervalShape) -> IntervalShape:
        """One table with the rows of this one, then those of another."""
        if other is self:
            return self
        grid = np.union1d(self.probabilities, other.probabilities)
        rows = [
            np.stack([table.reach(p, np.arange(len(table))) for p in grid], axis=1)
            for table in (self, other)
        ]
        return IntervalShape(grid, np.maximum.accumulate(np.concatenate(rows), axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {"probabilities": self.probabilities.tolist(), "factors": self.factors.tolist()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` gave."""
        try:
            return cls(document["probabilities"], document["factors"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This is not the shape of an interval: {error}.") from error


def require_probability(probability: float) -> None:
    """Refuse what is not a probability strictly between 0 and 1."""
    if not 0.0 < probability < 1.0:
        raise InputError(
            f"The probability of an interval lies between 0 and 1, not at {probability}."
        )


@cache
def _normal() -> IntervalShape:
    depth = np.linspace(0.0, np.sqrt(NORMAL_REACH), NORMAL_POINTS)[1:] ** 2
    depth = np.sort(np.append(depth, [-np.log1p(-p) for p in (ONE_SIGMA, NINETY_PERCENT, 0.95)]))
    upper_tail = np.exp(-depth) / 2.0
    factors = [-NormalDist().inv_cdf(float(tail)) for tail in upper_tail]
    return IntervalShape(-np.expm1(-depth), np.maximum(factors, 0.0)[None, :])
