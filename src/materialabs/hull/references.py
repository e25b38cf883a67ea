"""The elements of a hull: the entries that stand for them, and what is added where they miss."""

from __future__ import annotations

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.hull.points import Floats, Indices
from materialabs.levels import Energies


def complete(
    compositions: Compositions, energies: Energies, ids: list[str]
) -> tuple[Compositions, Energies, list[str]]:
    """Make sure that every element of a system has an entry.

    Formation energies are measured from the elements, which are therefore added at zero wherever
    no entry of the element reaches it; of total energies the missing elements are named.
    """
    if not len(compositions):
        raise InputError("A hull needs at least one entry.")
    elements = compositions.present()
    pure = np.flatnonzero(np.diff(compositions.offsets) == 1)
    numbers = compositions.elements[compositions.offsets[pure]]
    if energies.kind == "formation":
        pure_low = energies.values[pure] <= 0.0
        missing = sorted(set(elements) - set(numbers[pure_low].tolist()))
        return _with_elements(compositions, energies, ids, missing)
    missing = sorted(set(elements) - set(numbers.tolist()))
    if missing:
        names = ", ".join(SYMBOLS[number] for number in missing)
        raise InputError(
            f"A hull of total energies needs an entry for every element; {names} "
            f"{'is' if len(missing) == 1 else 'are'} missing: add the pure element at the same "
            "level, or give formation energies.",
            code="hull.missing_elements",
        )
    return compositions, energies, ids


def _with_elements(
    compositions: Compositions, energies: Energies, ids: list[str], missing: list[int]
) -> tuple[Compositions, Energies, list[str]]:
    if not missing:
        return compositions, energies, ids
    added = Compositions.from_dicts([{number: 1.0} for number in missing])
    zero = Energies(np.zeros(len(missing)), energies.kind, energies.level)
    names = [f"element {SYMBOLS[number]}" for number in missing]
    return Compositions.concat([compositions, added]), energies.concat(zero), [*ids, *names]


def lowest_references(fractions: Floats, energies: Floats) -> tuple[Floats, Indices]:
    """Energy of each element [k] in eV/atom, and the entry [k] that has it: the lowest one."""
    pure_rows = np.flatnonzero((fractions > 0).sum(axis=1) == 1)
    column = np.argmax(fractions[pure_rows], axis=1)
    order = np.lexsort((energies[pure_rows], column))
    _, first = np.unique(column[order], return_index=True)
    corners = pure_rows[order[first]].astype(np.int64)
    return energies[corners], corners
