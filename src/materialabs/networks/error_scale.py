"""How large the error of each crystal is likely to be, learned from errors on held-out crystals.

The logarithm of the scale is a sum of piecewise linear ramps, one set for each signal (the spread
of an ensemble, the distance from what was learned, ...), and of one shift for each group of
crystals. The scale maximises the likelihood of Laplace-distributed errors, a convex problem; a
signal that speaks of danger can only widen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError

Floats = NDArray[np.float64]
Signals = Mapping[str, Floats]
Groups = Mapping[str, NDArray[np.bool_]]

RAMPS: Final = 4
"""Ramps for each signal, between its quantiles."""

RIDGE: Final = 3.0
"""Strength of the pull of every ramp and shift towards zero, in crystals."""

BEYOND: Final = 0.5
"""A dangerous signal goes on counting beyond the largest value seen, by this share of its range."""

LARGEST_SHARE: Final = 0.99
"""Errors above this quantile count as this quantile, so that a few wrong labels do not rule."""


@dataclass(frozen=True, eq=False)
class Ramp:
    """The part of one signal: between knots the logarithm of the scale changes linearly.

    Parameters
    ----------
    knots
        [k+1], rising values of the signal.
    heights
        [k], change of the logarithm of the scale from each knot to the next.
    typical
        The signal's median, which stands in where the signal is missing.
    """

    knots: Floats
    heights: Floats
    typical: float

    def basis(self, values: Floats) -> Floats:
        """How far each value has climbed each ramp [n, k], 0 to 1."""
        known = np.where(np.isfinite(values), values, self.typical)
        steps = np.diff(self.knots)
        return np.asarray(np.clip((known[:, None] - self.knots[:-1]) / steps, 0.0, 1.0))

    @classmethod
    def along(cls, values: Floats, *, dangerous: bool) -> Ramp:
        """Knots at the quantiles of a signal, without heights yet."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(np.array([0.0, 1.0]), np.zeros(1), 0.0)
        knots = np.unique(np.quantile(known, np.linspace(0.0, 1.0, RAMPS + 1)))
        if len(knots) == 1:
            knots = np.array([knots[0], knots[0] + 1.0])
        elif dangerous:
            knots = np.append(knots, knots[-1] + BEYOND * (knots[-1] - knots[0]))
        return cls(knots, np.zeros(len(knots) - 1), float(np.median(known)))


@dataclass(frozen=True, eq=False)
class ErrorScale:
    """The likely size of errors as a function of signals and groups.

    Parameters
    ----------
    constant
        Logarithm of the scale at the lowest end of all ramps.
    ramps
        One for each signal, by name.
    shifts
        Change of the logarithm for the members of each group, by name.
    """

    constant: float
    ramps: dict[str, Ramp]
    shifts: dict[str, float]

    @classmethod
    def fit(
        cls, errors: Floats, signals: Signals, groups: Groups, *, dangerous: Sequence[str] = ()
    ) -> Self:
        """Learn the scale of absolute errors [n].

        Parameters
        ----------
        errors
            Absolute errors [n] of crystals that the model has not learned from.
        signals
            Named values [n]; NaN where one is missing.
        groups
            Named truths [n]; groups may overlap.
        dangerous
            Signals that may only widen as they rise.
        """
        from scipy.optimize import minimize

        sizes = np.clip(errors, np.median(errors) * 1e-3, np.quantile(errors, LARGEST_SHARE))
        unit = max(float(sizes.mean()), np.finfo(float).tiny)
        empty = {name: Ramp.along(v, dangerous=name in dangerous) for name, v in signals.items()}
        table = _table(empty, signals, groups, len(errors))
        danger = np.concatenate(
            [[False]]
            + [np.full(len(ramp.heights), name in dangerous) for name, ramp in empty.items()]
            + [np.zeros(len(groups), bool)]
        )

        def cost(weights: Floats) -> tuple[float, Floats]:
            logs = np.clip(table @ weights, -30.0, 30.0)
            ratio = sizes / unit * np.exp(-logs)
            pull = RIDGE * np.concatenate([[0.0], weights[1:]])
            value = logs.sum() + ratio.sum() + 0.5 * pull @ weights
            return float(value), table.T @ (1.0 - ratio) + pull

        found = minimize(
            cost,
            np.zeros(table.shape[1]),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0 if rising else None, None) for rising in danger],
        ).x
        ends = np.cumsum([1] + [len(ramp.heights) for ramp in empty.values()])
        ramps = {
            name: Ramp(ramp.knots, found[start:stop], ramp.typical)
            for (name, ramp), start, stop in zip(empty.items(), ends[:-1], ends[1:], strict=True)
        }
        shifts = dict(zip(groups, found[ends[-1] :].tolist(), strict=True))
        return cls(float(found[0] + np.log(unit)), ramps, shifts)

    def log_scale(self, signals: Signals, groups: Groups, count: int) -> Floats:
        """Logarithm of the likely error of each crystal [count]."""
        missing = sorted((set(self.ramps) - set(signals)) | (set(self.shifts) - set(groups)))
        if missing:
            raise InputError(f"The calibration needs {', '.join(missing)}, which were not given.")
        logs = np.full(count, self.constant)
        for name, ramp in self.ramps.items():
            logs += ramp.basis(np.asarray(signals[name], dtype=np.float64)) @ ramp.heights
        for name, shift in self.shifts.items():
            logs += shift * np.asarray(groups[name], dtype=np.float64)
        return logs

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "constant": self.constant,
            "ramps": {
                name: {
                    "knots": ramp.knots.tolist(),
                    "heights": ramp.heights.tolist(),
                    "typical": ramp.typical,
                }
                for name, ramp in self.ramps.items()
            },
            "shifts": dict(self.shifts),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` gave."""
        ramps = {
            name: Ramp(np.array(r["knots"]), np.array(r["heights"]), float(r["typical"]))
            for name, r in document["ramps"].items()
        }
        shifts = {name: float(shift) for name, shift in document["shifts"].items()}
        return cls(float(document["constant"]), ramps, shifts)


def _table(ramps: Mapping[str, Ramp], signals: Signals, groups: Groups, count: int) -> Floats:
    """Constant, ramps and groups as columns [n, 1 + ramps + groups]."""
    columns = [np.ones((count, 1))]
    columns += [ramp.basis(np.asarray(signals[name], float)) for name, ramp in ramps.items()]
    columns += [np.asarray(truths, dtype=np.float64)[:, None] for truths in groups.values()]
    return np.hstack(columns)
