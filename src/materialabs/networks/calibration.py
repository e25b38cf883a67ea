"""Intervals that hold what they promise, as wide for each crystal as its error is likely to be.

Normalised conformal prediction (Papadopoulos et al. 2002; Lei et al., J. Am. Stat. Assoc. 113,
1094, 2018): errors on held-out crystals are divided by a learned scale, cross-fitted over formulas
(Barber et al., Ann. Stat. 49, 486, 2021), and the quantiles of the ratios, finite-sample
corrected, are what intervals of every probability reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError
from materialabs.intervals import NINETY_PERCENT, ONE_SIGMA, IntervalShape
from materialabs.networks.error_scale import ErrorScale, Floats, Groups, Signals
from materialabs.networks.signals import DANGEROUS
from materialabs.predictions import Prediction

Whole = NDArray[np.int64]

FEWEST: Final = 5
"""Held-out crystals; fewer say nothing about errors."""

FEWEST_FOR_SIGNALS: Final = 100
"""Held-out crystals from which widths may follow the signals; before, all widths are equal."""

FOLDS: Final = 5
"""Parts of the held-out crystals, whole clusters each, that are kept from a fit in turn."""

POINTS: Final = 80
"""Probabilities at which the reach is tabulated."""

TEMPERS: Final = tuple(round(1.0 - 0.01 * step, 2) for step in range(31))
"""Powers of the learned scale that are tried, 1 to 0.7: below 1, widths differ less than errors
do."""

FIFTHS: Final = 5
"""Parts by predicted width in which coverage is looked at."""

LEAST_IN_FIFTHS, MOST_IN_FIFTHS = 0.86, 0.94
"""Share of crystals inside 90 % intervals, in the narrowest and in the widest fifth, that a power
of the scale must keep on held-out crystals, for 84 to 96 % on others."""

FEWEST_TO_TEMPER: Final = 500
"""Held-out crystals; fewer cannot vouch for these shares (their standard error is 2.3 %)."""

GROUP_RIDGE: Final = 3.0
"""Strength of the pull of each group's correction towards none, in crystals."""

GROUP_SMOOTHING: Final = 0.1
"""Width in ln(error/scale) over which the quantile of a group is smoothed."""

SMALLEST_ERROR: Final = 1e-4
"""Of the median error; smaller errors count as this in logarithms."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What turns an ensemble's answers into calibrated intervals.

    Parameters
    ----------
    scale
        The likely error of a crystal.
    temper
        Power of the scale that is used.
    offset
        Added to the logarithm of the width, so that widths are standard deviations.
    corrections
        Change of the logarithm of the width for the members of each group.
    shape
        Reach of intervals in standard deviations.
    crystals
        Number of held-out crystals that all this was learned from.
    """

    scale: ErrorScale
    temper: float
    offset: float
    corrections: dict[str, float]
    shape: IntervalShape
    crystals: int

    @classmethod
    def fit(
        cls,
        mean: ArrayLike,
        truth: ArrayLike,
        signals: Signals,
        groups: Groups,
        *,
        clusters: Sequence[str] | NDArray[Any] | None = None,
        dangerous: Sequence[str] = DANGEROUS,
        levelled: Groups | None = None,
        like: Self | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn from crystals that the model has not been trained on.

        Parameters
        ----------
        mean, truth
            [n], predicted and true values.
        signals
            Named values [n] that may tell large errors from small ones.
        groups
            Named truths [n], by which the likely error may differ.
        clusters
            [n], names of what belongs together (reduced formulas), kept on one side of each fold.
        dangerous
            Signals that may only widen as they rise.
        levelled
            Named truths [n]; coverage is brought to the same level in each. Without it, groups.
        like
            A calibration by many more crystals: its power of the scale and its corrections for the
            groups are used. Without it they are chosen here.
        seed
            For drawing the folds.
        """
        errors = _errors(mean, truth)
        if len(errors) < FEWEST_FOR_SIGNALS:
            signals, groups, levelled = {}, {}, None
        levelled = groups if levelled is None else levelled
        folds = folds_of(np.arange(len(errors)) if clusters is None else clusters, seed)
        logs = np.zeros(len(errors))
        for fold in np.unique(folds):
            away, here = folds != fold, folds == fold
            scale = ErrorScale.fit(
                errors[away], _chosen(signals, away), _chosen(groups, away), dangerous=dangerous
            )
            count = int(here.sum())
            logs[here] = scale.log_scale(_chosen(signals, here), _chosen(groups, here), count)
        if like is None:
            temper = _temper(errors, logs, levelled)
            found = _group_corrections(np.log(errors) - temper * logs, levelled)[1:]
            corrections = dict(zip(levelled, found.tolist(), strict=True))
        else:
            temper, corrections = like.temper, dict(like.corrections)
        scores = errors / np.exp(temper * logs + _summed(corrections, levelled))
        unit = conformal_quantile(scores, ONE_SIGMA)
        return cls(
            ErrorScale.fit(errors, signals, groups, dangerous=dangerous),
            temper,
            float(np.log(unit)),
            corrections,
            conformal_shape(scores / unit),
            len(errors),
        )

    def std(self, signals: Signals, groups: Groups, count: int) -> Floats:
        """Standard deviation of the error of each crystal [count]: 68.27 % lie within it."""
        logs = self.offset + self.temper * self.scale.log_scale(signals, groups, count)
        return np.asarray(np.exp(logs + _summed(self.corrections, groups)))

    def applied(self, raw: Prediction, signals: Signals, groups: Groups) -> Prediction:
        """The same prediction with calibrated standard deviations and intervals."""
        return raw.replace(
            std=self.std(signals, groups, len(raw)),
            shape=self.shape,
            rows=np.zeros(len(raw), dtype=np.int64),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "scale": self.scale.to_dict(),
            "temper": self.temper,
            "offset": self.offset,
            "corrections": dict(self.corrections),
            "shape": self.shape.to_dict(),
            "crystals": self.crystals,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` gave."""
        try:
            return cls(
                ErrorScale.from_dict(document["scale"]),
                float(document["temper"]),
                float(document["offset"]),
                {name: float(value) for name, value in document["corrections"].items()},
                IntervalShape.from_dict(document["shape"]),
                int(document["crystals"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"This is not a calibration: {error} is missing or wrong.") from error


def _errors(mean: ArrayLike, truth: ArrayLike) -> Floats:
    predicted, true = np.asarray(mean, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise InputError(
            f"Predictions {predicted.shape} and true values {true.shape} are not one for one."
        )
    if len(predicted) < FEWEST:
        raise InputError(
            f"A calibration needs {FEWEST} held-out crystals or more; got {len(predicted)}: "
            "keep more rows for validation."
        )
    if not np.isfinite(predicted - true).all():
        raise InputError("A calibration needs numbers; some values are NaN or infinite.")
    errors = np.abs(predicted - true)
    smallest = max(SMALLEST_ERROR * float(np.median(errors)), np.finfo(float).tiny)
    return np.maximum(errors, smallest)


def _chosen(columns: Mapping[str, NDArray[Any]], rows: NDArray[np.bool_]) -> dict[str, Any]:
    return {name: np.asarray(values)[rows] for name, values in columns.items()}


def folds_of(clusters: Sequence[str] | NDArray[Any], seed: int) -> Whole:
    """A fold for each crystal [n], one of :data:`FOLDS`, the same for all of a cluster."""
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(np.arange(len(names)) % FOLDS)
    return np.asarray(dealt[member], dtype=np.int64)


def _temper(errors: Floats, logs: Floats, groups: Groups) -> float:
    """The power of the scale with the narrowest intervals that still hold at both ends of width.

    A low power makes intervals narrow on average, and holds too rarely where they are wide. How
    often they hold in the narrowest and in the widest fifth is read off a straight line through
    all crystals, ranked by width, which chance moves less than the share in either fifth. Where no
    power holds, errors follow the scale too little to judge, and it is 1, as with few crystals.
    """
    best, narrowest = TEMPERS[0], np.inf
    ranks = (np.arange(len(errors)) + 0.5) * (FIFTHS / len(errors)) - 0.5 * FIFTHS
    end = 0.5 * (FIFTHS - 1)
    for temper in TEMPERS if len(errors) >= FEWEST_TO_TEMPER else ():
        found = _group_corrections(np.log(errors) - temper * logs, groups)
        corrections = dict(zip(groups, found[1:].tolist(), strict=True))
        widths = np.exp(temper * logs + _summed(corrections, groups))
        half = widths * conformal_quantile(errors / widths, NINETY_PERCENT)
        inside = (errors <= half)[np.argsort(half, kind="stable")]
        slope = (inside * ranks).mean() / (ranks**2).mean()
        low, high = sorted((inside.mean() - slope * end, inside.mean() + slope * end))
        held = low >= LEAST_IN_FIFTHS and high <= MOST_IN_FIFTHS
        if held and half.mean() < narrowest:
            best, narrowest = temper, float(half.mean())
    return best


def _group_corrections(scores: Floats, groups: Groups) -> Floats:
    """Constant and shifts that bring the 90 % quantile of log scores to one level in all groups.

    Quantile regression on the groups (Gibbs, Cherian and Candes 2023), smoothed, with a ridge.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    start = float(np.quantile(scores, NINETY_PERCENT))
    if not groups:
        return np.array([start])
    table = np.stack([np.ones(len(scores)), *(np.asarray(g, float) for g in groups.values())], 1)

    def cost(weights: Floats) -> tuple[float, Floats]:
        over = scores - table @ weights
        depth = over / GROUP_SMOOTHING
        pull = GROUP_RIDGE * np.concatenate([[0.0], weights[1:]])
        loss = NINETY_PERCENT * over + GROUP_SMOOTHING * np.logaddexp(0.0, -depth)
        slope = NINETY_PERCENT - expit(-depth)
        return float(loss.sum() + 0.5 * pull @ weights), pull - table.T @ slope

    first = np.concatenate([[start], np.zeros(len(groups))])
    return np.asarray(minimize(cost, first, jac=True, method="L-BFGS-B").x)


def _summed(corrections: Mapping[str, float], groups: Groups) -> Floats | float:
    """What the corrections of a crystal's groups come to."""
    return sum((one * np.asarray(groups[name], float) for name, one in corrections.items()), 0.0)


def conformal_quantile(scores: Floats, probability: float) -> float:
    """The score that a new one stays below with at least this probability (finite-sample).

    It is the ceil((n + 1) p)-th smallest; the largest where even that is not enough.
    """
    place = int(np.ceil((len(scores) + 1) * probability - 1e-9))
    return float(np.sort(scores)[min(max(place, 1), len(scores)) - 1])


def conformal_shape(scores: Floats) -> IntervalShape:
    """Reach of intervals of every probability from the scores |error|/scale of held-out crystals.

    The table ends at the probability n/(n+1), the highest that n scores can vouch for; beyond it
    :class:`IntervalShape` goes on exponentially.
    """
    last = len(scores) / (len(scores) + 1.0)
    grid = -np.expm1(-np.linspace(0.0, -np.log1p(-last), POINTS + 1)[1:])
    chosen = [p for p in (ONE_SIGMA, NINETY_PERCENT, 0.95) if p < last]
    probabilities = np.unique(np.round(np.concatenate([grid, chosen]), 12))
    factors = [conformal_quantile(scores, float(p)) for p in probabilities]
    return IntervalShape(probabilities, np.array(factors)[None, :])
