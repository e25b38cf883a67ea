"""Properties beside stability that a campaign asks about, computed or predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError
from materialabs.generation.filters import densities

if TYPE_CHECKING:
    from materialabs.discovery.forecasting import Predictor
    from materialabs.discovery.objectives import Objective
    from materialabs.discovery.request import CampaignRequest

Floats = NDArray[np.float64]

COMPUTED = ("density",)
"""Properties that follow from the crystal alone."""


@dataclass(frozen=True, eq=False)
class Properties:
    """Values of the properties that a campaign asks about.

    Parameters
    ----------
    values
        By name: mean and standard deviation, each [n].
    count
        Number of crystals.
    """

    values: dict[str, tuple[Floats, Floats]]
    count: int

    @classmethod
    def of(
        cls,
        request: CampaignRequest,
        crystals: Crystals,
        predictors: Mapping[str, Predictor],
        *,
        relaxed: bool = False,
    ) -> Properties:
        """Compute or predict what ranges and objectives of a campaign speak of.

        Parameters
        ----------
        request, crystals, predictors
            What is asked, of which, and by what.
        relaxed
            Whether the geometries are final, as opposed to candidates'.
        """
        names = asked(request)
        found = {name: _values(name, crystals, predictors, relaxed) for name in names}
        return cls(found, len(crystals))

    def within(self, request: CampaignRequest) -> Floats:
        """Chance [n] that all wanted ranges are met, the errors taken as normal and apart."""
        from scipy.stats import norm

        chance = np.ones(self.count)
        for one in request.constraints.ranges:
            mean, std = self.values[one.name]
            scale = np.maximum(std, 1e-12)
            chance *= norm.cdf((one.high - mean) / scale) - norm.cdf((one.low - mean) / scale)
        return np.asarray(np.where(chance < 1e-9, 0.0, chance))

    def turned(self, objective: Objective) -> tuple[Floats, Floats]:
        """Mean, so that smaller is better, and standard deviation of an objective."""
        mean, std = self.values[objective.name]
        return objective.turned(mean), std

    def row(self, row: int) -> dict[str, Any]:
        """The values of one crystal, for JSON."""
        found = {name: float(mean[row]) for name, (mean, _) in self.values.items()}
        return {"properties": found} if found else {}


def asked(request: CampaignRequest) -> list[str]:
    """Names of the properties that ranges and objectives speak of."""
    ranges = [one.name for one in request.constraints.ranges]
    return list(dict.fromkeys([*(one.name for one in request.objectives), *ranges]))


def require_predictors(request: CampaignRequest, predictors: Mapping[str, Predictor]) -> None:
    """Refuse ranges and objectives of properties that nothing can tell."""
    for name in asked(request):
        if name not in COMPUTED and name not in predictors:
            known = ", ".join((*COMPUTED, *sorted(predictors)))
            raise InputError(
                f"Nothing predicts {name} here: there is {known}; give a model for it.",
                code="campaign.property",
            )


def _values(
    name: str, crystals: Crystals, predictors: Mapping[str, Predictor], relaxed: bool
) -> tuple[Floats, Floats]:
    if name in COMPUTED:
        return densities(crystals), np.zeros(len(crystals))
    prediction = predictors[name].predict(crystals, relaxed=relaxed)
    return np.asarray(prediction.mean), np.asarray(prediction.std)
