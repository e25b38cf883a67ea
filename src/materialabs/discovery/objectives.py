"""Several aims at once: what no other candidate beats, and how much a candidate would add.

Values are turned so that smaller is better. A front is worth the volume that it dominates up to a
reference point (Zitzler and Thiele, IEEE Trans. Evol. Comput. 3, 257, 1999); a candidate is worth
what it is expected to add to that volume (Emmerich, Giannakoglou and Naujoks, IEEE Trans. Evol.
Comput. 10, 421, 2006), here the mean over draws from its predictions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError

Floats = NDArray[np.float64]
Aim = Literal["min", "max"]

DRAWS: Final = 64
"""Draws from the predictions of a candidate."""

MOST_OBJECTIVES: Final = 4
"""Beside the hull distance; the volume of more takes long."""

MARGIN: Final = 0.1
"""The reference point lies this share of the range of all values beyond the worst."""


@dataclass(frozen=True)
class Objective:
    """A property to make small or large.

    Parameters
    ----------
    name
        ``density`` (g/cm^3) is computed; others are predicted by the model given for them.
    aim
        ``"min"`` or ``"max"``.
    """

    name: str
    aim: Aim = "max"

    def __post_init__(self) -> None:
        if self.aim not in get_args(Aim):
            raise InputError(f"An objective is min:NAME or max:NAME, not {self.aim}:{self.name}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``max:bulk_modulus`` or ``min:density``."""
        aim, mark, name = text.strip().partition(":")
        if not mark or not name or aim not in get_args(Aim):
            raise InputError(f"An objective reads min:NAME or max:NAME, not {text!r}.")
        return cls(name, cast(Aim, aim))

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read :meth:`to_dict`'s form."""
        return cls(document["name"], document["aim"])

    def turned(self, values: Floats) -> Floats:
        """The values so that smaller is better."""
        return np.asarray(-values if self.aim == "max" else values)


def pareto_front(values: Floats) -> NDArray[np.bool_]:
    """Which rows [n, k] no other row beats in all columns and in one truly; smaller is better.

    Rows with a value that is not a number are never on the front.
    """
    good = np.asarray(np.isfinite(values).all(axis=1), dtype=bool)
    front = np.array(good)
    for row in np.flatnonzero(good):
        others = values[good]
        beaten = (others <= values[row]).all(axis=1) & (others < values[row]).any(axis=1)
        front[row] = not beaten.any()
    return front


def hypervolume(values: Floats, reference: Floats) -> float:
    """Volume that rows [n, k] dominate below a reference point [k]; smaller is better.

    By slicing along the last column (Knowles 2002); exact.
    """
    inside = values[(values < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    order = np.argsort(inside[:, -1], kind="stable")
    inside = inside[order]
    ends = np.append(inside[1:, -1], reference[-1])
    return sum(
        (float(end) - float(row[-1])) * hypervolume(inside[: place + 1, :-1], reference[:-1])
        for place, (row, end) in enumerate(zip(inside, ends, strict=True))
        if end > row[-1]
    )


def expected_gain(means: Floats, spreads: Floats, front: Floats, *, seed: int) -> Floats:
    """Volume that each candidate is expected to add to a front [n].

    Parameters
    ----------
    means, spreads
        [n, k], predicted values, smaller better, and their standard deviations.
    front
        [m, k], what is known.
    seed
        Of the draws.
    """
    everything = np.concatenate([means, front])
    low, high = everything.min(axis=0), everything.max(axis=0)
    reach = np.where(high > low, high - low, 1.0)
    reference = np.full(means.shape[1], 1.0 + MARGIN)
    known = (front - low) / reach
    before = hypervolume(known, reference)
    noise = np.random.default_rng(seed).standard_normal((DRAWS, means.shape[1]))
    gains = np.zeros(len(means))
    for row, (mean, spread) in enumerate(zip(means, spreads, strict=True)):
        drawn = (mean + noise * spread - low) / reach
        added = [hypervolume(np.vstack([known, one]), reference) - before for one in drawn]
        gains[row] = np.mean(added)
    return gains
