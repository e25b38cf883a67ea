"""What a hull is asked about: formulas, compositions or crystals, and energies with a level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.errors import FormulaError, InputError
from materialabs.levels import Energies

Phases: TypeAlias = str | Iterable[str] | Compositions | Crystals
"""A formula, several formulas, compositions, or crystals."""


def as_compositions(phases: Phases) -> Compositions:
    """Take formulas, compositions or crystals as compositions."""
    if isinstance(phases, Compositions):
        compositions = phases
    elif isinstance(phases, Crystals):
        compositions = phases.compositions
    elif isinstance(phases, str):
        compositions = Compositions.parse([phases])
    elif isinstance(phases, Iterable):
        compositions = Compositions.parse(phases)
    else:
        raise InputError(
            f"A hull takes formulas, Compositions or Crystals, not {type(phases).__name__}."
        )
    if len(compositions) and (np.diff(compositions.offsets) == 0).any():
        raise InputError("A composition holds no atoms.")
    return compositions


def names_of(phases: Phases, ids: Sequence[str] | None, count: int) -> list[str]:
    """The names of entries: those given, those of the crystals, or their positions."""
    if ids is not None:
        names = [str(name) for name in ids]
        if len(names) != count:
            raise InputError(f"{len(names)} ids were given for {count} entries.")
        return names
    return phases.ids() if isinstance(phases, Crystals) else [str(i) for i in range(count)]


def require_energies(energies: Energies, count: int) -> Energies:
    """Refuse bare numbers, a wrong count, and energies that are not finite."""
    if not isinstance(energies, Energies):
        raise InputError(
            "Energies without kind and level cannot be put on a hull: write "
            "Energies(values, 'formation' or 'total', level), with values in eV/atom."
        )
    if len(energies) != count:
        raise InputError(f"{len(energies)} energies were given for {count} compositions.")
    finite = np.isfinite(energies.values)
    if not finite.all():
        raise InputError(f"The energy of entry {int(np.argmin(finite))} is not a number.")
    return energies


def require_inside(compositions: Compositions, elements: tuple[int, ...]) -> None:
    """Refuse compositions with an element outside a system, naming the first."""
    known = np.isin(compositions.elements, elements)
    if known.all():
        return
    position = int(np.argmin(known))
    row = int(np.searchsorted(compositions.offsets, position, side="right")) - 1
    symbol = SYMBOLS[int(compositions.elements[position])]
    raise InputError(
        f"{compositions[row].formulas()[0]} contains {symbol}, which is not on this hull of "
        f"{system_name(elements)}: build a hull of a system that contains it.",
        code="hull.outside",
    )


def system_name(elements: Iterable[int]) -> str:
    """The chemical system of some elements, alphabetical: ``Li-P-S``."""
    return "-".join(sorted(SYMBOLS[number] for number in elements))


def element_among(symbol: str, elements: tuple[int, ...]) -> int:
    """The place of an element in a system, from its symbol."""
    names = [SYMBOLS[number] for number in elements]
    if symbol not in names:
        raise FormulaError(f"{symbol!r} is not an element of the system {system_name(elements)}.")
    return names.index(symbol)
