"""What candidates must satisfy: elements, size, space groups, pressure, ranges of properties."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import InputError

DEFAULT_ATOMS: Final = 12
"""Atoms in the primitive cell of the largest candidate."""

MOST_ATOMS: Final = 200
"""Largest primitive cell that a campaign may ask for."""

LOWEST_PRESSURE: Final = -100.0
"""GPa; under more tension nothing holds: diamond, the strongest crystal, parts at 95 GPa
(Telling et al., Phys. Rev. Lett. 84, 5160, 2000)."""

HIGHEST_PRESSURE: Final = 1000.0
"""GPa, the highest static pressure that was reached (Dubrovinskaia et al., Sci. Adv. 2, e1600341,
2016)."""

_RANGE = re.compile(r"\s*([a-z][a-z0-9_]*)\s*=\s*([^:]*):([^:]*)")


@dataclass(frozen=True)
class PropertyRange:
    """A property that must lie between two values, either of which may be open.

    Parameters
    ----------
    name
        ``density`` (g/cm^3) is computed; others are predicted by the model given for them.
    low, high
        In the unit of the property; infinite where open.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"A range of {self.name} rises; {self.low}:{self.high} does not.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``band_gap=1:2``, ``density=:5`` or ``bulk_modulus=100:``."""
        match = _RANGE.fullmatch(text)
        try:
            if match is None:
                raise ValueError(text)
            low = float(match[2]) if match[2].strip() else -math.inf
            high = float(match[3]) if match[3].strip() else math.inf
        except ValueError:
            raise InputError(
                f"A range reads NAME=LOW:HIGH, such as band_gap=1:2 or density=:5; not {text!r}."
            ) from None
        return cls(match[1], low, high)

    def to_dict(self) -> dict[str, Any]:
        """All fields for JSON; an open end is null."""
        ends = (None if math.isinf(end) else end for end in (self.low, self.high))
        return dict(zip(("name", "low", "high"), (self.name, *ends), strict=True))

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read :meth:`to_dict`'s form."""
        low, high = document["low"], document["high"]
        return cls(
            document["name"],
            -math.inf if low is None else low,
            math.inf if high is None else high,
        )


@dataclass(frozen=True)
class Constraints:
    """What a campaign's candidates must satisfy.

    Parameters
    ----------
    max_atoms
        In the primitive cell.
    require, forbid
        Elements that every candidate holds, or none does. Elements of the system and the
        compounds of their subsystems are on the hull all the same.
    space_groups, forbid_space_groups
        Numbers that the start of a candidate must have (any when empty), or must not have.
        Relaxation is free to change the symmetry.
    pressure
        GPa, from :data:`LOWEST_PRESSURE` to :data:`HIGHEST_PRESSURE`. Relaxations and hull are
        those of the enthalpy.
    ranges
        Properties that must lie in a range.
    """

    max_atoms: int = DEFAULT_ATOMS
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    space_groups: tuple[int, ...] = ()
    forbid_space_groups: tuple[int, ...] = ()
    pressure: float = 0.0
    ranges: tuple[PropertyRange, ...] = ()

    def __post_init__(self) -> None:
        for name in ("require", "forbid", "space_groups", "forbid_space_groups"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        object.__setattr__(self, "ranges", tuple(self.ranges))
        if not 1 <= self.max_atoms <= MOST_ATOMS:
            raise InputError(
                f"Candidates have 1 to {MOST_ATOMS} atoms at most, not {self.max_atoms}."
            )
        for symbol in (*self.require, *self.forbid):
            atomic_number(symbol)
        both = sorted(set(self.require) & set(self.forbid))
        if both:
            raise InputError(f"{both[0]} is both required and forbidden: choose one.")
        both_ways = sorted(set(self.space_groups) & set(self.forbid_space_groups))
        if both_ways:
            raise InputError(
                f"Space group {both_ways[0]} is both to start from and left out: choose one."
            )
        groups = (*self.space_groups, *self.forbid_space_groups)
        wrong = next((group for group in groups if not 1 <= group <= 230), None)
        if wrong is not None:
            raise InputError(f"Space groups have numbers from 1 to 230, not {wrong}.")
        if not math.isfinite(self.pressure):
            raise InputError(f"The pressure is a number in GPa, not {self.pressure}.")
        if not LOWEST_PRESSURE <= self.pressure <= HIGHEST_PRESSURE:
            raise InputError(
                f"The pressure lies between {LOWEST_PRESSURE:g} and {HIGHEST_PRESSURE:g} GPa, not "
                f"at {self.pressure:g}."
            )

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON and for the campaign's identity."""
        document = asdict(self)
        document["ranges"] = [one.to_dict() for one in self.ranges]
        return document

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read :meth:`to_dict`'s form."""
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in document.items() if name in known}
        values["ranges"] = tuple(PropertyRange.from_dict(one) for one in document["ranges"])
        return cls(**values)

    def require_possible(self, elements: tuple[int, ...]) -> None:
        """Refuse constraints that no compound of the system can meet."""
        symbols = {SYMBOLS[number] for number in elements}
        foreign = sorted(set(self.require) - symbols)
        if foreign:
            raise InputError(f"{foreign[0]} is required and is not in the system: add it.")
        if len(symbols - set(self.forbid)) < 2:
            raise InputError("Fewer than two elements are left after those forbidden: allow more.")

    def allowed(self, crystals: Crystals) -> NDArray[np.bool_]:
        """Which starts meet the constraints on size, elements and space group [n]."""
        kept = crystals.counts <= self.max_atoms
        compositions = crystals.compositions
        for symbol in self.require:
            kept &= compositions.dense([atomic_number(symbol)])[:, 0] > 0
        for symbol in self.forbid:
            kept &= compositions.dense([atomic_number(symbol)])[:, 0] == 0
        if self.space_groups or self.forbid_space_groups:
            kept &= self._in_groups(crystals)
        return np.asarray(kept)

    def _in_groups(self, crystals: Crystals) -> NDArray[np.bool_]:
        from materialabs.crystals.symmetry import symmetry

        numbers = symmetry(crystals).number
        inside = np.ones(len(crystals), dtype=bool)
        if self.space_groups:
            inside &= np.isin(numbers, self.space_groups)
        return np.asarray(inside & ~np.isin(numbers, self.forbid_space_groups))
