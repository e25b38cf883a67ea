"""Which space groups can hold a composition, decided exactly, and why the others cannot.

A composition has a home in a space group when each element's atoms can be shared out over Wyckoff
positions, those without free parameters being taken at most once over all elements. The answer is
a sum over all ways, by dynamic programming, so that it is exact and quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.formula_texts import parse_formula
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.generation.wyckoff import GROUPS, SpaceGroup, group_arrays, space_group

MOST_ATOMS = 500
"""Atoms in a primitive cell; larger ones are refused."""

WHOLE_TOLERANCE = 1e-6
"""An amount this close to a whole number is that number."""


def cell_contents(formula: str, cells: int = 1) -> dict[int, int]:
    """Whole numbers of atoms of ``cells`` formula units, as {atomic number: count}.

    Raises
    ------
    InputError
        When an amount is not whole, ``cells`` is below one, or the cell is too large.
    """
    if isinstance(cells, bool) or not isinstance(cells, (int, np.integer)) or cells < 1:
        raise InputError(f"The number of formula units is a whole number from 1; got {cells!r}.")
    contents = {}
    for number, amount in parse_formula(formula).items():
        count = round(amount * cells)
        if abs(amount * cells - count) > WHOLE_TOLERANCE:
            raise InputError(
                f"{cells} formula units of {formula} hold {amount * cells:g} {SYMBOLS[number]}, "
                "which is not whole: ask for more formula units or a whole-numbered formula."
            )
        contents[number] = count
    total = sum(contents.values())
    if total > MOST_ATOMS:
        raise InputError(
            f"{cells} formula units of {formula} are {total} atoms; at most {MOST_ATOMS} are "
            "drawn in one primitive cell."
        )
    return contents


def can_hold(contents: Mapping[int, int]) -> NDArray[np.bool_]:
    """Which space groups can hold these atoms in their primitive cell; bool [230].

    Parameters
    ----------
    contents
        {atomic number: count} of the primitive cell.
    """
    return _can_hold(tuple(sorted(contents.values()))).copy()


@lru_cache(maxsize=4096)
def _can_hold(atoms: tuple[int, ...]) -> NDArray[np.bool_]:
    from materialabs.generation.choice_kernels import housed_everywhere

    table = group_arrays()
    held = housed_everywhere(
        np.array(atoms, dtype=np.int64),
        table.position_starts,
        np.diff(table.orbit_starts),
        table.freedom,
    )
    return np.asarray(held)


def possible_groups(formula: str, cells: int = 1) -> list[int]:
    """Numbers of the space groups that can hold ``cells`` formula units in the primitive cell."""
    return (np.nonzero(can_hold(cell_contents(formula, cells)))[0] + 1).tolist()


def count_choices(contents: Mapping[int, int], number: int) -> int:
    """Number of ways to share out the atoms over the Wyckoff positions of a space group.

    A way gives each element a multiset of positions; a position without free parameters occurs
    at most once over all elements.
    """
    group = space_group(number)
    fixed, free = _multiplicities(group)
    sizes = sorted(set(fixed))
    available = tuple(fixed.count(size) for size in sizes)
    ways = _multisets(free, max(contents.values()))
    reached: Counter[tuple[int, ...]] = Counter({tuple(0 for _ in sizes): 1})
    for atoms in contents.values():
        following: Counter[tuple[int, ...]] = Counter()
        for taken, count in reached.items():
            left = [a - t for a, t in zip(available, taken, strict=True)]
            for more in product(*(range(rest + 1) for rest in left)):
                rest = atoms - sum(m * size for m, size in zip(more, sizes, strict=True))
                if rest >= 0 and ways[rest]:
                    letters = prod(comb(a, m) for a, m in zip(left, more, strict=True))
                    state = tuple(t + m for t, m in zip(taken, more, strict=True))
                    following[state] += count * letters * ways[rest]
        reached = following
    return sum(reached.values())


def _multiplicities(group: SpaceGroup) -> tuple[list[int], list[int]]:
    """Atoms in the primitive cell on positions without and with freedom."""
    fixed = [p.primitive_multiplicity for p in group.positions if p.freedom == 0]
    free = [p.primitive_multiplicity for p in group.positions if p.freedom > 0]
    return fixed, free


def _multisets(sizes: Sequence[int], top: int) -> list[int]:
    """Number of multisets of these sizes that add up to 0, 1, ..., top."""
    ways = [1] + [0] * top
    for size in sizes:
        for total in range(size, top + 1):
            ways[total] += ways[total - size]
    return ways


def why_impossible(contents: Mapping[int, int], number: int) -> str | None:
    """Say why a space group cannot hold these atoms in its primitive cell; None when it can."""
    if can_hold(contents)[number - 1]:
        return None
    group = space_group(number)
    fixed, free = _multiplicities(group)
    places = f"positions for {_listed(free)} atoms"
    if fixed:
        places += f" as often as wanted and for {_listed(fixed)} once each"
    for element, count in contents.items():
        if not can_hold({element: count})[number - 1]:
            return (
                f"{group.symbol} ({number}) cannot hold {count} {SYMBOLS[element]} in its "
                f"primitive cell: it has {places}."
            )
    atoms = ", ".join(f"{count} {SYMBOLS[element]}" for element, count in contents.items())
    return (
        f"{group.symbol} ({number}) cannot hold {atoms} together in its primitive cell, though "
        f"each element alone would fit: it has {places}."
    )


def _listed(sizes: Sequence[int]) -> str:
    """``1, 1, 2`` as ``1 (2 of them), 2``."""
    return ", ".join(
        str(size) if count == 1 else f"{size} ({count} of them)"
        for size, count in sorted(Counter(sizes).items())
    )


def groups_checked(space_groups: Sequence[int] | int | None) -> list[int]:
    """Space-group numbers asked for; all 230 for None."""
    from materialabs.generation.wyckoff import checked_group

    if space_groups is None:
        return list(range(1, GROUPS + 1))
    given = [space_groups] if isinstance(space_groups, (int, np.integer)) else list(space_groups)
    if not given:
        raise InputError("The list of space groups is empty: name one, or leave it out for all.")
    return [checked_group(number) for number in dict.fromkeys(given)]
