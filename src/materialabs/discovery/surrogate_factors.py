"""Ways in which candidates are alike, each a table of likeness with a few settings of its own.

A factor compares two sets of candidates by one block of their description. Factors are multiplied
to terms and terms are added to the kernel of a :class:`~materialabs.discovery.surrogate.Surrogate`.
Settings are logarithms or logits, so that any real number is allowed; each has a value to start
from and a spread, which together are the prior on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Inputs = Mapping[str, Floats]
"""Blocks of columns that describe candidates, each [n, d], by name."""

Likenesses = tuple[Floats, tuple[Floats, ...]]
"""A table of likeness [n, m] and its derivative by each setting."""

LENGTH_SPREAD: Final = 0.7
"""Standard deviation of the logarithm of a length before any label is seen: a factor of two."""

SHARE_START: Final = -1.5
"""Logit of the share of an element's own name beside its properties: a fifth."""

SHARE_SPREAD: Final = 1.5
"""Standard deviation of that logit before any label is seen."""

SAME: Final = 1e-12
"""Squared distance up to which two descriptions are of one and the same thing."""


class Factor(Protocol):
    """One way in which candidates are alike."""

    @property
    def start(self) -> tuple[float, ...]:
        """Where the settings start from."""
        ...

    @property
    def spread(self) -> tuple[float, ...]:
        """How far each setting may lie from there."""
        ...

    def compared(self, first: Inputs, second: Inputs) -> Floats:
        """What of the comparison does not depend on the settings [n, m]."""
        ...

    def likeness(self, compared: Floats, settings: Floats) -> Likenesses:
        """The table of likeness [n, m], and its derivatives."""
        ...

    def itself(self, inputs: Inputs) -> Floats:
        """Likeness of each candidate with itself [n]."""
        ...


@dataclass(frozen=True)
class Near:
    """Alike as the descriptions are near: exp(-d^2 / 2 l^2), d the root mean square difference.

    Parameters
    ----------
    block
        Of the description.
    length
        Length scale l to start from.
    """

    block: str
    length: float = 1.0

    @property
    def start(self) -> tuple[float, ...]:
        """The logarithm of the length."""
        return (float(np.log(self.length)),)

    @property
    def spread(self) -> tuple[float, ...]:
        """Of the logarithm of the length."""
        return (LENGTH_SPREAD,)

    def compared(self, first: Inputs, second: Inputs) -> Floats:
        """Mean squared differences [n, m]."""
        return _mean_squares(first[self.block], second[self.block])

    def likeness(self, compared: Floats, settings: Floats) -> Likenesses:
        """The Gaussian and its derivative by the logarithm of the length."""
        scaled = compared * np.exp(-2.0 * settings[0])
        table = np.exp(-0.5 * scaled)
        return table, (table * scaled,)

    def itself(self, inputs: Inputs) -> Floats:
        """One."""
        return np.ones(len(inputs[self.block]))


@dataclass(frozen=True)
class Named:
    """Alike as the properties are near, and a share s more when they are of the same thing.

    (1 - s) exp(-d^2 / 2 l^2) + s [d = 0]: what an element does beyond its properties is learned
    of each element by itself.

    Parameters
    ----------
    block
        Properties of what stands at a site.
    length
        Length scale to start from.
    """

    block: str
    length: float = 1.0

    @property
    def start(self) -> tuple[float, ...]:
        """The logarithm of the length, and the logit of the share."""
        return (float(np.log(self.length)), SHARE_START)

    @property
    def spread(self) -> tuple[float, ...]:
        """Of both."""
        return (LENGTH_SPREAD, SHARE_SPREAD)

    def compared(self, first: Inputs, second: Inputs) -> Floats:
        """Mean squared differences [n, m]."""
        return _mean_squares(first[self.block], second[self.block])

    def likeness(self, compared: Floats, settings: Floats) -> Likenesses:
        """The mixture and its derivatives."""
        share = 1.0 / (1.0 + np.exp(-settings[1]))
        scaled = compared * np.exp(-2.0 * settings[0])
        near = np.exp(-0.5 * scaled)
        same = (compared < SAME).astype(np.float64)
        table = (1.0 - share) * near + share * same
        return table, ((1.0 - share) * near * scaled, share * (1.0 - share) * (same - near))

    def itself(self, inputs: Inputs) -> Floats:
        """One."""
        return np.ones(len(inputs[self.block]))


@dataclass(frozen=True)
class Along:
    """Alike as the descriptions point the same way: their scalar product, without settings.

    With one column it is a weight: terms fade where the column is small.

    Parameters
    ----------
    block
        Of the description.
    """

    block: str

    @property
    def start(self) -> tuple[float, ...]:
        """No settings."""
        return ()

    @property
    def spread(self) -> tuple[float, ...]:
        """No settings."""
        return ()

    def compared(self, first: Inputs, second: Inputs) -> Floats:
        """Scalar products [n, m]."""
        return np.asarray(first[self.block] @ second[self.block].T)

    def likeness(self, compared: Floats, settings: Floats) -> Likenesses:
        """The scalar products."""
        del settings
        return compared, ()

    def itself(self, inputs: Inputs) -> Floats:
        """Squared lengths."""
        return np.asarray((inputs[self.block] ** 2).sum(axis=1))


def _mean_squares(first: Floats, second: Floats) -> Floats:
    """Mean squared difference of each pair of rows [n, m]."""
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :]
    squares = np.maximum(lengths - 2.0 * first @ second.T, 0.0) / max(first.shape[1], 1)
    return np.asarray(np.where(squares < SAME * (1.0 + lengths), 0.0, squares))
