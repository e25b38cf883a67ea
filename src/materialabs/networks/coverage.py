"""Whether intervals hold what they promise: coverage by groups, and the calibration curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError
from materialabs.intervals import NINETY_PERCENT
from materialabs.predictions import Prediction

FIFTHS: Final = ("narrowest fifth", "second fifth", "third fifth", "fourth fifth", "widest fifth")

CONFIDENCE: Final = 1.96
"""Standard errors of a 95 % interval of a share (Wilson, J. Am. Stat. Assoc. 22, 209, 1927)."""

CURVE: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Nominal probabilities of a calibration curve."""


def coverage_table(
    prediction: Prediction,
    truth: ArrayLike,
    groups: Mapping[str, NDArray[np.bool_]] | None = None,
    *,
    probability: float = NINETY_PERCENT,
) -> list[dict[str, Any]]:
    """How often intervals hold the truth: in all, in each fifth of their width, in each group.

    Parameters
    ----------
    prediction
        Of n numbers.
    truth
        [n], true values; NaN where one is not known.
    groups
        Named truths [n], such as :func:`materialabs.networks.signals.chemical_groups` gives.
    probability
        That the intervals promise.

    Returns
    -------
    Rows with group, crystals, coverage and its 95 % confidence interval, mean width, mean absolute
    error, and for all crystals ``width_ratio``: the mean width over that of the constant width
    that would cover as many of them.
    """
    true = _known(prediction, truth)
    known = np.isfinite(true)
    low, high = prediction.interval(probability)
    inside, width = (low <= true) & (true <= high), high - low
    errors = np.abs(true - prediction.mean)
    parts = {"all": known}
    order = np.flatnonzero(known)[np.argsort(width[known], kind="stable")]
    for name, rows in zip(FIFTHS, np.array_split(order, len(FIFTHS)), strict=True):
        parts[name] = np.isin(np.arange(len(true)), rows)
    for name, chosen in (groups or {}).items():
        parts[name] = known & np.asarray(chosen, dtype=bool)
    table = [_row(name, part, inside, width, errors) for name, part in parts.items()]
    if known.any():
        same = 2.0 * np.quantile(errors[known], inside[known].mean())
        table[0]["width_ratio"] = float(width[known].mean() / same) if same > 0 else float("nan")
    return table


def calibration_curve(
    prediction: Prediction, truth: ArrayLike, probabilities: Sequence[float] = CURVE
) -> list[dict[str, float]]:
    """Observed against nominal coverage for intervals of several probabilities."""
    true = _known(prediction, truth)
    known = np.isfinite(true)
    rows = []
    for probability in probabilities:
        low, high = prediction.interval(probability)
        inside = ((low <= true) & (true <= high))[known]
        rows.append(
            {
                "nominal": float(probability),
                "observed": float(inside.mean()) if len(inside) else float("nan"),
            }
        )
    return rows


def _known(prediction: Prediction, truth: ArrayLike) -> NDArray[np.float64]:
    true = np.asarray(truth, dtype=np.float64)
    if prediction.mean.ndim != 1 or true.shape != prediction.mean.shape:
        raise InputError(
            f"Coverage compares one number for each crystal: predictions "
            f"{prediction.mean.shape}, true values {true.shape}."
        )
    return true


def _row(
    name: str,
    part: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    width: NDArray[np.float64],
    errors: NDArray[np.float64],
) -> dict[str, Any]:
    count = int(part.sum())
    if not count:
        nothing = float("nan")
        return dict.fromkeys(("coverage", "from", "to", "width", "mae"), nothing) | {
            "group": name,
            "crystals": 0,
        }
    share = float(inside[part].mean())
    low, high = wilson(share, count)
    return {
        "group": name,
        "crystals": count,
        "coverage": share,
        "from": low,
        "to": high,
        "width": float(width[part].mean()),
        "mae": float(errors[part].mean()),
    }


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share of ``count`` trials (Wilson 1927)."""
    z2 = CONFIDENCE**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = CONFIDENCE * np.sqrt(share * (1 - share) / count + z2 / (4 * count)) / (1 + z2)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))
