"""What a model tells of each crystal: one head for each quantity, with its unit and its meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError
from materialabs.levels import Kind, Level
from materialabs.predictions import EVERYWHERE

NO_UNIT: Final = "1"
"""The unit of a number that has none."""


@dataclass(frozen=True)
class Head:
    """One quantity that a model predicts.

    Parameters
    ----------
    name
        Of the quantity, as in the table that the model learned from.
    unit
        Of the quantity itself.
    quantity
        For people: ``"band gap"``.
    kind, level
        For energies: ``"total"`` or ``"formation"``, and the level of theory.
    bounds
        Lowest and highest value of what is predicted.
    classes
        Names of the classes, where the head tells classes and not numbers.
    logarithm
        Whether the network learns, and the model predicts, the base-ten logarithm.
    """

    name: str
    unit: str = NO_UNIT
    quantity: str = ""
    kind: Kind | None = None
    level: Level | None = None
    bounds: tuple[float, float] = EVERYWHERE
    classes: tuple[str, ...] = ()
    logarithm: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Outputs of the network that this head reads: one, or one for each class."""
        return tuple(f"{self.name}: {one}" for one in self.classes) or (self.name,)

    @property
    def predicted_unit(self) -> str:
        """Unit of the predicted values: that of the logarithm where one is learned."""
        return f"log10({self.unit})" if self.logarithm else self.unit

    @property
    def title(self) -> str:
        """What is predicted, for people."""
        return self.quantity or self.name.replace("_", " ")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "quantity": self.quantity,
            "kind": self.kind,
            "level": None if self.level is None else self.level.to_dict(),
            "bounds": [None if np.isinf(bound) else bound for bound in self.bounds],
            "classes": list(self.classes),
            "logarithm": self.logarithm,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` gave."""
        try:
            lowest, highest = document["bounds"]
            level = document["level"]
            return cls(
                str(document["name"]),
                str(document["unit"]),
                str(document["quantity"]),
                document["kind"],
                None if level is None else Level.from_dict(level),
                (-np.inf if lowest is None else lowest, np.inf if highest is None else highest),
                tuple(document["classes"]),
                bool(document["logarithm"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This does not describe what a model predicts: {error}.") from error


def columns_of(heads: tuple[Head, ...]) -> tuple[str, ...]:
    """Names of all outputs of a network with these heads, in order."""
    return tuple(column for head in heads for column in head.columns)


def sibling_of(head: Head, heads: Sequence[Head], known: Mapping[str, int]) -> Head | None:
    """The head of the same quantity that learned from the most values, if there is one.

    Such are a formation energy of two editions of a database, a gap of two functionals: where their
    answers are far apart, one of them is hard to tell. They have a kind and a unit in common, and
    the name of one adds a word to the other's (``band_gap``, ``band_gap_hse``).

    Parameters
    ----------
    head
        Whose sibling is wanted.
    heads
        All heads of a model.
    known
        Number of values known of each, by name.
    """
    alike = [
        one for one in heads
        if not one.classes and not head.classes
        and (one.kind, one.predicted_unit) == (head.kind, head.predicted_unit)
        and (one.name.startswith(f"{head.name}_") or head.name.startswith(f"{one.name}_"))
    ]  # fmt: skip
    return max(alike, key=lambda one: (known.get(one.name, 0), one.name), default=None)


def places_of(heads: tuple[Head, ...]) -> dict[str, slice]:
    """Where the outputs of each head stand among those of the network."""
    places, start = {}, 0
    for head in heads:
        places[head.name] = slice(start, start + len(head.columns))
        start += len(head.columns)
    return places


def known_of(heads: tuple[Head, ...], targets: NDArray[np.float64]) -> dict[str, int]:
    """In how many rows of targets [n, columns] each head's value is known, by name."""
    known, places = np.isfinite(targets), places_of(heads)
    return {head.name: int(known[:, places[head.name]].all(axis=1).sum()) for head in heads}
