"""Unrelaxed candidates are predicted at several volumes; which, and how the answers are joined.

The volume of a candidate is a guess. Its bond graph stretches with the cell, so that other volumes
cost no new search for neighbours. Validation on unrelaxed copies of crystals whose relaxed energy
is known chooses the volumes and the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError
from materialabs.networks.ensembles import Answers, Ensemble
from materialabs.networks.graphs import BondGraphs

Floats = NDArray[np.float64]

RULES: Final[dict[str, Callable[[Floats], Floats]]] = {
    "mean": lambda values: np.asarray(values.mean(axis=0)),
    "median": lambda values: np.asarray(np.median(values, axis=0)),
    "minimum": lambda values: np.asarray(values.min(axis=0)),
}
"""How answers at several volumes [v, ...] become one."""

TRIED: Final = (
    (1.0,),
    (0.95, 1.0, 1.05),
    (0.9, 1.0, 1.1),
    (0.9, 0.95, 1.0, 1.05, 1.1),
    (0.85, 0.925, 1.0, 1.075, 1.15),
)
"""Volumes relative to the given one that validation chooses among."""

WORTHWHILE: Final = 0.01
"""Relative gain that one more volume must bring: each costs as much as the whole prediction."""


@dataclass(frozen=True)
class VolumeTrial:
    """Volumes that a candidate is tried at, and the rule that joins the answers.

    Parameters
    ----------
    factors
        Volumes relative to the given one.
    rule
        ``"mean"``, ``"median"`` or ``"minimum"``, member by member.
    """

    factors: tuple[float, ...]
    rule: str

    def __post_init__(self) -> None:
        if self.rule not in RULES or not self.factors or min(self.factors) <= 0:
            raise InputError(
                f"Volumes {self.factors} joined by {self.rule!r}: give factors above zero and one "
                f"of {', '.join(RULES)}."
            )

    def answers(self, ensemble: Ensemble, graphs: BondGraphs) -> Answers:
        """What the members say of unrelaxed crystals; features are those at the given volume."""
        found = [
            ensemble.answers(graphs.scaled(np.cbrt(factor)), relaxed=0.0) for factor in self.factors
        ]
        nearest = int(np.argmin(np.abs(np.log(self.factors))))
        values = RULES[self.rule](np.stack([one.values for one in found]))
        return Answers(values, found[nearest].features)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"factors": list(self.factors), "rule": self.rule}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` gave."""
        return cls(tuple(map(float, document["factors"])), str(document["rule"]))


ONE: Final = VolumeTrial((1.0,), "mean")
"""The given volume alone."""


@dataclass(frozen=True)
class TrialError:
    """Mean absolute error that a trial reached on unrelaxed validation crystals."""

    trial: VolumeTrial
    error: float


def at_volumes(ensemble: Ensemble, graphs: BondGraphs) -> dict[float, Floats]:
    """What the members say [m, n, columns] of unrelaxed crystals at every volume that is tried."""
    factors = sorted({factor for factors in TRIED for factor in factors})
    return {
        factor: ensemble.answers(graphs.scaled(np.cbrt(factor)), relaxed=0.0).values
        for factor in factors
    }


def tried(answers: Mapping[float, Floats], truth: Floats, column: int) -> list[TrialError]:
    """The error of every set of volumes and every rule for one head.

    Parameters
    ----------
    answers
        As :func:`at_volumes` gives them.
    truth
        [n], what is true of the relaxed form of each crystal; NaN where it is not known.
    column
        Of the head among the outputs.
    """
    found = []
    for factors in TRIED:
        values = np.stack([answers[factor][..., column] for factor in factors])
        for rule in RULES if len(factors) > 1 else ("mean",):
            wrong = np.abs(RULES[rule](values).mean(axis=0) - truth)
            found.append(TrialError(VolumeTrial(factors, rule), float(np.nanmean(wrong))))
    return found


def chosen(errors: Sequence[TrialError]) -> VolumeTrial:
    """The trial with the fewest volumes that no other beats by what its further volumes cost."""
    best = min(errors, key=lambda one: (len(one.trial.factors), one.error))
    for one in sorted(errors, key=lambda one: len(one.trial.factors)):
        further = len(one.trial.factors) - len(best.trial.factors)
        if one.error < best.error * (1.0 - WORTHWHILE * further):
            best = one
    return best.trial
