"""What is told of a trained model: data, split, recipe, figures with their intervals, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.networks.coverage import calibration_curve, coverage_table
from materialabs.networks.signals import chemical_groups
from materialabs.networks.splits import as_groups
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]

RESAMPLES: Final = 1_000
"""Bootstrap samples of a figure's interval."""

INTERVAL: Final = (0.025, 0.975)
"""Quantiles of the bootstrap that are told: a 95 % interval (Efron 1979)."""

WORST: Final = 20
"""Cases with the largest errors that are listed."""

PACKAGES: Final = ("materialabs", "torch", "numpy", "safetensors")
"""Packages whose versions are told."""


def bootstrap_interval(
    errors: ArrayLike, clusters: Sequence[str] | NDArray[Any], *, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a mean, resampling whole clusters.

    Parameters
    ----------
    errors
        [n], of which the mean is told.
    clusters
        [n], names of what belongs together, such as reduced formulas.
    seed
        Of the resampling.
    """
    values, groups = np.asarray(errors, dtype=np.float64), as_groups(clusters)
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    random = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for sample in range(RESAMPLES):
        drawn = random.integers(0, len(sums), len(sums))
        means[sample] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, INTERVAL)
    return float(low), float(high)


def number_figures(
    prediction: Prediction, truth: ArrayLike, compositions: Compositions
) -> dict[str, Any]:
    """Errors, coverage of the intervals and worst cases of predicted numbers.

    Parameters
    ----------
    prediction
        Of n crystals that the model has not learned from.
    truth
        [n], true values; NaN where one is not known.
    compositions
        Of the n cells.
    """
    known = np.flatnonzero(np.isfinite(np.asarray(truth, dtype=np.float64)))
    if not len(known):
        return {"crystals": 0}
    true, told = np.asarray(truth, dtype=np.float64)[known], prediction.take(known)
    cells = compositions[known]
    formulas, errors = cells.reduced_formulas(), told.mean - true
    low, high = bootstrap_interval(np.abs(errors), formulas)
    spread = float(np.var(true))
    return {
        "crystals": len(known),
        "unit": told.unit,
        "mae": float(np.abs(errors).mean()),
        "mae_from": low,
        "mae_to": high,
        "median_error": float(np.median(np.abs(errors))),
        "rmse": float(np.sqrt((errors**2).mean())),
        "r2": 1.0 - float((errors**2).mean()) / spread if spread > 0 else float("nan"),
        "coverage": coverage_table(told, true, chemical_groups(cells)),
        "curve": calibration_curve(told, true),
        "worst": _worst(told, true, formulas),
    }


def unit_figures(
    prediction: Prediction, truth: ArrayLike, compositions: Compositions, unit: str
) -> dict[str, Any]:
    """Errors in the unit of the quantity itself, of which the logarithm is predicted.

    Parameters
    ----------
    prediction
        Base-ten logarithms for n crystals that the model has not learned from.
    truth
        [n], true logarithms; NaN where one is not known.
    compositions
        Of the n cells.
    unit
        Of the quantity.
    """
    true = np.asarray(truth, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(true))
    if not len(known):
        return {}
    errors = np.abs(10.0 ** prediction.mean[known] - 10.0 ** true[known])
    low, high = bootstrap_interval(errors, compositions[known].reduced_formulas())
    return {
        "own_unit": unit, "own_mae": float(errors.mean()),
        "own_mae_from": low, "own_mae_to": high,
    }  # fmt: skip


def _worst(told: Prediction, true: Floats, formulas: Sequence[str]) -> list[dict[str, Any]]:
    order = np.argsort(-np.abs(told.mean - true), kind="stable")[:WORST]
    low, high = told.low, told.high
    return [
        {
            "id": told.ids[row] if told.ids else str(row),
            "formula": formulas[row],
            "true": float(true[row]),
            "predicted": float(told.mean[row]),
            "low": float(low[row]),
            "high": float(high[row]),
            "in_domain": float(told.in_domain[row]),
        }
        for row in order.tolist()
    ]


def class_figures(
    prediction: Prediction, truth: ArrayLike, formulas: Sequence[str]
) -> dict[str, Any]:
    """How often the most likely class is the true one, and how honest the probabilities are.

    Parameters
    ----------
    prediction
        Probabilities of n crystals.
    truth
        [n, k], 1 for the true class and 0 for the others; NaN where it is not known.
    formulas
        [n], reduced formulas.
    """
    table = np.asarray(truth, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(table).all(axis=1))
    if not len(known):
        return {"crystals": 0}
    true, chances = table[known].argmax(axis=1), prediction.probability[known]
    best = chances.argmax(axis=1)
    right = (best == true).astype(np.float64)
    low, high = bootstrap_interval(right, [formulas[row] for row in known.tolist()])
    own = chances[np.arange(len(known)), true]
    figures: dict[str, Any] = {
        "crystals": len(known),
        "accuracy": float(right.mean()),
        "accuracy_from": low,
        "accuracy_to": high,
        "log_loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "reliability": _reliability(chances.max(axis=1), right),
        "confusion": [
            [int(((true == a) & (best == b)).sum()) for b in range(len(prediction.classes))]
            for a in range(len(prediction.classes))
        ],
    }
    if len(prediction.classes) == 2:
        figures["roc_auc"] = ranking_area(chances[:, 1], true == 1)
    return figures


def ranking_area(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive case scores above a negative one (Mann and Whitney 1947)."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[inverse]
    above = float(ranks[positive].sum()) - positives * (positives + 1) / 2.0
    return above / (positives * negatives)


def _reliability(chances: Floats, right: Floats) -> list[dict[str, float]]:
    """Observed against stated probability of the most likely class, in fifths of the rows."""
    order = np.argsort(chances, kind="stable")
    return [
        {"stated": float(chances[part].mean()), "observed": float(right[part].mean())}
        for part in np.array_split(order, min(5, len(order)))
    ]


def versions() -> dict[str, str]:
    """Versions of what decides the outcome."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def summary_line(figures: Mapping[str, Any]) -> str:
    """The main figure of a head in one line."""
    if not figures.get("crystals"):
        return "no test rows with a value"
    if "accuracy" in figures:
        return (
            f"accuracy {figures['accuracy']:.3f} "
            f"({figures['accuracy_from']:.3f} to {figures['accuracy_to']:.3f}) "
            f"on {figures['crystals']} test rows"
        )
    return (
        f"mean absolute error {figures['mae']:.4g} {figures['unit']} "
        f"({figures['mae_from']:.4g} to {figures['mae_to']:.4g}) "
        f"on {figures['crystals']} test rows; 90 % intervals hold "
        f"{100 * figures['coverage'][0]['coverage']:.0f} %"
    )
