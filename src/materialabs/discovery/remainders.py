"""What a trained network leaves over in one chemical system, learned from a campaign's relaxations.

A network errs alike on candidates that are alike: of near composition, of near structure. Its
error, in units of the error that it expects of itself, is a Gaussian process over the system, which
fades at the elements. Where nothing near was relaxed the network's own answer stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.discovery.surrogate import Kernel, Surrogate, Term
from materialabs.discovery.surrogate_factors import Along, Floats, Near
from materialabs.discovery.surrogate_systems import REACH, describe, scaled, widths_of
from materialabs.errors import InputError
from materialabs.levels import Energies
from materialabs.predictions import Prediction

FEWEST: Final = 3
"""Relaxed compounds that it learns from at least."""

SEARCHED_FROM: Final = 24
"""Compounds from which the settings are searched for. A few that were given, such as the polymorphs
of one compound, err alike, and would have the process expect such errors everywhere."""

FARTHEST: Final = 3.0
"""Expected errors that a relaxation may lie off; one that lies farther off counts as this far: it
says that the network knows nothing of that crystal, and little of others."""

LARGEST_SHARED: Final = 0.1
"""eV/atom; what a network expects beyond this is each crystal's own. Where it expects half an
eV/atom, of an element that it has never seen, a neighbour of elements that it knows and errs on by
its usual 0.03 would else move it by that half."""

TRUSTED: Final = 4
"""Relaxed compounds that the network's own expectation of its error counts as."""

MOST, MOST_OF_NORMAL = 0.8, 1.2816
"""Part of the errors that tells how large they are, and the size in standard deviations that this
part of normally distributed errors does not exceed."""

KERNEL: Final = Kernel(
    (Along("mixed"), Near("fractions", REACH), Near("structure"), Near("chemistry")),
    (Term((0, 1), 0.3), Term((0, 1, 2), 0.4), Term((0, 2), 0.3)),
    0.5,
)
"""Composition, composition and structure, structure, all fading at the elements; half of the
variance is each crystal's own."""


@dataclass(frozen=True, eq=False)
class Remainder:
    """What a network leaves over, learned from crystals that it predicted before they were relaxed.

    Parameters
    ----------
    elements
        Of the system.
    scale
        Centre and width of the columns of each block of a description.
    surrogate
        Of errors in units of the expected one.
    share
        Of the error that the network expects of itself: smaller than one where it errs less.
    """

    elements: tuple[int, ...]
    scale: Mapping[str, tuple[Floats, Floats]]
    surrogate: Surrogate
    share: float = 1.0

    @classmethod
    def fit(
        cls,
        crystals: Crystals,
        told: Prediction,
        labels: Energies,
        elements: tuple[int, ...],
    ) -> Remainder:
        """Learn from relaxations.

        Parameters
        ----------
        crystals
            Starts of compounds, n of them.
        told
            What the network said of them.
        labels
            What they came to, of the same kind and at the same level.
        elements
            Of the system.
        """
        if not len(crystals) == len(told) == len(labels) or len(labels) < FEWEST:
            raise InputError(f"What is left over is learned from {FEWEST} compounds or more.")
        labels.require_comparable(told.energies())
        described = describe(crystals, elements)
        scale = {name: widths_of(name, block) for name, block in described.items()}
        errors = labels.values - told.mean
        share = expected_share(errors / told.std)
        errors = np.clip(errors / shared(share * told.std), -FARTHEST, FARTHEST)
        surrogate = Surrogate(KERNEL)
        surrogate.fit(
            scaled(described, scale), errors, middle=0.0, scale=1.0,
            search=len(labels) >= SEARCHED_FROM,
        )  # fmt: skip
        return cls(elements, scale, surrogate, share)

    def added(self, told: Prediction, crystals: Crystals) -> Prediction:
        """The prediction with what is left over; its members move along."""
        inputs = scaled(describe(crystals, self.elements), self.scale)
        mean, deviation = self.surrogate.predict(inputs)
        expected = self.share * told.std
        common = shared(expected)
        shift = common * mean
        members = None if told.members is None else told.members + shift
        explained = common**2 * (1.0 - np.minimum(deviation, 1.0) ** 2)
        return told.replace(
            mean=told.mean + shift, std=np.sqrt(expected**2 - explained), members=members
        )


def shared(expected: Floats) -> Floats:
    """The part of expected errors [n], eV/atom, that crystals which are alike have in common."""
    return np.minimum(expected, LARGEST_SHARED)


def expected_share(errors: Floats) -> float:
    """By how much smaller errors are than expected, from errors [n] in units of the expected one.

    Of an element that it has never seen a network expects half an eV/atom, and is mostly right to a
    tenth of that. One relaxation that is far off would else move all of its neighbours far.
    """
    seen = min(float(np.quantile(np.abs(errors), MOST)) / MOST_OF_NORMAL, 1.0)
    return (TRUSTED + len(errors) * seen) / (TRUSTED + len(errors))
