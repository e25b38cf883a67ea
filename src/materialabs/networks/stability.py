"""How likely a predicted crystal is to be stable, with errors that it shares cancelling.

A candidate and the phases that it would fall apart into are predicted by the same networks, and
much of their error is common: it drops out of the difference. Each member of an ensemble
therefore judges by its own energies, and the spread of the members' hull distances, against the
spread of their energies, tells how much of the calibrated error is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError
from materialabs.levels import Energies
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]

SMALLEST_SHARE, LARGEST_SHARE = 0.25, 2.0
"""Share of the calibrated error that may be left in a hull distance: a few members do not see all
of the error that they have in common, nor does a difference of two errors exceed their sum."""

PRIOR_SPREAD: Final = 1e-3
"""eV/atom added to both spreads, so that members that agree exactly say nothing."""


class KnownHull(Protocol):
    """What is asked of a hull: its energy at compositions, of its kind and at its level."""

    def energy(self, candidates: Any) -> Energies:
        """Energy of the hull at each composition, eV/atom."""
        ...


def distances_to_known(prediction: Prediction, candidates: Any, hull: KnownHull) -> Floats:
    """Each member's distance [m, n] to a hull of known energies, eV/atom; negative is below.

    Parameters
    ----------
    prediction
        Energies of the n candidates, of the hull's kind and at its level, with members.
    candidates
        Their compositions or crystals, as the hull takes them.
    hull
        The hull of the known phases.
    """
    edge = hull.energy(candidates)
    edge.require_comparable(prediction.energies())
    return np.asarray(_members(prediction) - edge.values)


def distances_among_predicted(
    prediction: Prediction,
    candidates: Any,
    known: Prediction,
    make_hull: Callable[[Energies], KnownHull],
) -> Floats:
    """Each member's distance [m, n] to the hull of its own energies of the known phases, eV/atom.

    Parameters
    ----------
    prediction
        Energies of the n candidates, with members.
    candidates
        Their compositions or crystals, as the hull takes them.
    known
        Energies of the known phases by the same members.
    make_hull
        Builds the hull of the known phases from energies, such as ``hull.with_energies``.
    """
    mine, theirs = _members(prediction), _members(known)
    if len(mine) != len(theirs) or prediction.model_id != known.model_id:
        raise InputError(
            "Candidates and known phases must be predicted by the same members: "
            f"{len(mine)} of {prediction.model_id} and {len(theirs)} of {known.model_id}."
        )
    energies = known.energies()
    energies.require_comparable(prediction.energies())
    edges = [
        make_hull(Energies(member, energies.kind, energies.level)).energy(candidates).values
        for member in theirs
    ]
    return np.asarray(mine - np.stack(edges))


def stability(prediction: Prediction, distances: Floats) -> Prediction:
    """Hull distance of each candidate as a prediction: eV/atom, calibrated like the energies.

    The values are the members' distances at their middle, shifted as the calibrated energy is
    from the members' middle; the standard deviation is the calibrated one times the share of the
    spread that is left in the distances. ``probability_below(x)`` of the result is the
    probability of being within x of the hull.

    Parameters
    ----------
    prediction
        Energies of the n candidates, calibrated, with members.
    distances
        [m, n], each member's hull distance.
    """
    members = _members(prediction)
    given = np.asarray(distances, dtype=np.float64)
    if given.shape != members.shape:
        raise InputError(f"Distances {given.shape} do not go with members {members.shape}.")
    shift = prediction.mean - np.median(members, axis=0)
    left = (given.std(axis=0) + PRIOR_SPREAD) / (members.std(axis=0) + PRIOR_SPREAD)
    return prediction.replace(
        mean=np.median(given, axis=0) + shift,
        std=prediction.std * np.clip(left, SMALLEST_SHARE, LARGEST_SHARE),
        members=given,
        kind=None,
        quantity="distance from the hull",
    )


def probability_within(distance: Prediction, limit: float) -> Floats:
    """Probability [n] that the true distance from the hull is at most ``limit``, eV/atom."""
    return distance.probability_below(limit)


def expected_improvement(distance: Prediction) -> Floats:
    """How far below the hull each candidate is expected to lie [n], eV/atom, not below zero.

    The mean of max(-distance, 0) (Jones, Schonlau and Welch, J. Global Optim. 13, 455, 1998) under
    the calibrated distribution of errors.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(distance.std > 0, np.abs(distance.mean) / distance.std, np.inf)
    certain = ~np.isfinite(reach)
    over = distance.std * distance.shape.overshoot(np.where(certain, 0.0, reach), distance.rows)
    return np.maximum(-distance.mean, 0.0) + np.where(certain, 0.0, over)


def lower_confidence(distance: Prediction, probability: float) -> Floats:
    """Hull distance [n] that the truth is above with this probability (0.5 to 1), eV/atom."""
    if not 0.5 < probability < 1.0:
        raise InputError(f"A lower confidence is between 0.5 and 1, not {probability}.")
    return distance.interval(2.0 * probability - 1.0)[0]


def _members(prediction: Prediction) -> Floats:
    if prediction.members is None or prediction.members.ndim != 2:
        raise InputError(
            f"Stability is judged member by member, and {prediction.model_id} gave no members."
        )
    return prediction.members
