"""From a network's level of theory to another: what an oracle would have said.

Two levels differ mostly by a constant for each atom of an element (reference energies, +U,
corrections): energies shift by the composition times one number for each element. With enough
labelled pairs a smooth residual on compositions, and on the network's features where they are
given, joins. Both are one Bayesian linear model: prior widths and noise are those of largest
evidence (MacKay, Neural Comput. 4, 415, 1992), and the error of the map joins the interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError, LevelError
from materialabs.intervals import ONE_SIGMA, IntervalShape
from materialabs.levels import Energies, Kind, Level
from materialabs.networks.calibration import conformal_quantile, conformal_shape, folds_of
from materialabs.networks.linear_map import (
    ELEMENTS,
    FEWEST_FOR_EVIDENCE,
    OTHER_KIND,
    SAME_KIND,
    SAME_LEVEL,
    LinearMap,
    Pairs,
    Residual,
    Usual,
    fit_map,
    fractions,
    unlearned,
)
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]

RESIDUAL_FROM: Final = 80
"""Labelled pairs from which the smooth residual is fitted; fewer do not pay for it."""

CONFORMAL_FROM: Final = 40
"""Labelled pairs from which the intervals follow the errors that the map makes on pairs kept
from it; before, those of the prediction are kept."""


@dataclass(frozen=True, eq=False)
class LevelMap:
    """Maps predictions at one level to another, error included; immutable.

    Parameters
    ----------
    source, source_kind
        Level and kind of the predictions that it takes.
    target, target_kind
        Level and kind that it gives.
    linear
        Shifts and residual with their uncertainty.
    shape
        Reach of the mapped intervals, or None to keep the prediction's own.
    widening
        What standard deviations are multiplied by so that 68.27 % of kept pairs lie within one.
    pairs
        Number of labelled pairs that it was learned from.
    """

    source: Level
    source_kind: Kind
    target: Level
    target_kind: Kind
    linear: LinearMap
    shape: IntervalShape | None = None
    widening: float = 1.0
    pairs: int = 0

    @classmethod
    def unlearned(cls, prediction: Prediction, target: Level, kind: Kind) -> LevelMap:
        """The map before any pair is labelled: no shift, and as wide as levels usually differ."""
        source, source_kind = _theory(prediction)
        linear = unlearned(_usual(source, source_kind, target, kind))
        return cls(source, source_kind, target, kind, linear)

    @classmethod
    def fit(
        cls,
        prediction: Prediction,
        compositions: Compositions,
        labels: Energies,
        *,
        features: NDArray[Any] | None = None,
        seed: int = 0,
    ) -> LevelMap:
        """Learn from crystals that were predicted and then labelled at the other level.

        Parameters
        ----------
        prediction
            Calibrated energies of the n crystals.
        compositions
            Of their cells.
        labels
            [n], what the oracle said.
        features
            [n, d], pooled features of the network for the residual; compositions alone without.
        seed
            For drawing folds and the basis of the residual.
        """
        if not len(prediction) == len(compositions) == len(labels):
            raise InputError(
                f"{len(prediction)} predictions, {len(compositions)} compositions and "
                f"{len(labels)} labels are not one for one."
            )
        bare = cls.unlearned(prediction, labels.level, labels.kind)
        if not len(labels):
            return bare
        if not np.isfinite(labels.values - prediction.mean).all():
            raise InputError("A level map learns from numbers; some energies are NaN or infinite.")
        x, gaps = fractions(compositions), labels.values - prediction.mean
        residual = None
        if len(labels) >= RESIDUAL_FROM:
            residual = Residual.along(x, features, seed=seed)
        linear, scores = fit_map(
            Pairs(x, gaps, prediction.std, features),
            residual,
            folds_of(compositions.reduced_formulas(), seed),
            _usual(bare.source, bare.source_kind, labels.level, labels.kind),
        )
        if len(labels) < CONFORMAL_FROM:
            cautious = 1.0
            if len(labels) >= FEWEST_FOR_EVIDENCE:
                cautious = max(cautious, conformal_quantile(scores, ONE_SIGMA))
            return replace(bare, linear=linear, widening=cautious, pairs=len(labels))
        widening = conformal_quantile(scores, ONE_SIGMA)
        shape = conformal_shape(scores / widening) if widening > 0 else None
        return replace(
            bare, linear=linear, shape=shape, widening=max(widening, 1e-6), pairs=len(labels)
        )

    def apply(
        self,
        prediction: Prediction,
        compositions: Compositions,
        *,
        features: NDArray[Any] | None = None,
    ) -> Prediction:
        """The prediction at the other level, its interval widened by the error of the map.

        Raises
        ------
        LevelError
            When the prediction is at another level than the map was learned from.
        """
        source, kind = _theory(prediction)
        if (source, kind) != (self.source, self.source_kind):
            raise LevelError(
                f"This map takes {self.source_kind} energies at {self.source} and was given "
                f"{kind} energies at {source}: fit a map for that level.",
                code="level.mixed",
            )
        if len(compositions) != len(prediction):
            raise InputError(
                f"{len(prediction)} predictions do not go with {len(compositions)} compositions."
            )
        shift, std = self.linear.shift(fractions(compositions), features, prediction.std)
        learned = self.shape is not None
        return prediction.replace(
            mean=prediction.mean + shift,
            std=std * self.widening,
            members=None if prediction.members is None else prediction.members + shift,
            level=self.target,
            kind=self.target_kind,
            shape=self.shape if learned else prediction.shape,
            rows=np.zeros(len(prediction), np.int64) if learned else prediction.rows,
        )

    def element_shifts(self) -> dict[str, tuple[float, float]]:
        """Shift of each element and its standard deviation, eV for each atom."""
        from materialabs.elements import SYMBOLS

        shift, std = self.linear.of_elements()
        return {SYMBOLS[z]: (float(shift[z]), float(std[z])) for z in range(1, ELEMENTS)}


def _usual(source: Level, source_kind: Kind, target: Level, kind: Kind) -> Usual:
    """How far the energies of two levels and kinds are usually apart."""
    if source_kind != kind:
        return OTHER_KIND
    return SAME_LEVEL if source == target else SAME_KIND


def _theory(prediction: Prediction) -> tuple[Level, Kind]:
    energies = prediction.energies()
    return energies.level, energies.kind
