"""Scores of classes made into probabilities that hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RIDGE: Final = 0.1
"""Pull on the steepness and the offsets towards their start, in rows."""

FIRST_STEEPNESS: Final = 4.0
"""Scores near 0 and 1 at first mean odds of about exp(4)."""


@dataclass(frozen=True, eq=False)
class ClassScale:
    """Probability of a class is proportional to exp(steepness score + offset) (J. Platt, 1999).

    Parameters
    ----------
    steepness
        Of the scores of all classes.
    offsets
        [k], one for each class.
    """

    steepness: float
    offsets: Floats

    @classmethod
    def fit(cls, scores: Floats, truth: Floats) -> Self:
        """Learn from scores [n, k] of rows not learned from, and true classes [n, k]."""
        from scipy.optimize import minimize

        kinds = scores.shape[1]
        start = np.concatenate([[FIRST_STEEPNESS], np.zeros(kinds)])

        def cost(given: Floats) -> tuple[float, Floats]:
            chances = _softmax(given[0] * scores + given[1:])
            own = np.maximum((chances * truth).sum(axis=1), 1e-300)
            wrong, away = chances - truth, given - start
            slope = np.concatenate([[np.sum(wrong * scores)], wrong.sum(axis=0)])
            return float(-np.log(own).sum() + 0.5 * RIDGE * away @ away), slope + RIDGE * away

        found = minimize(cost, start, jac=True, method="L-BFGS-B",
                         bounds=[(0.0, None)] + [(None, None)] * kinds).x  # fmt: skip
        return cls(float(found[0]), np.asarray(found[1:]))

    def probabilities(self, scores: Floats) -> Floats:
        """Probabilities [n, k] of scores [n, k]."""
        return _softmax(self.steepness * scores + self.offsets)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {"steepness": self.steepness, "offsets": self.offsets.tolist()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` gave."""
        return cls(float(document["steepness"]), np.array(document["offsets"], dtype=np.float64))


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
