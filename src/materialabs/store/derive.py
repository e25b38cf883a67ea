"""What the derived tables hold, as pure functions of crystals and records.

Verification runs the same functions on what is witnessed and compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.listing import densities
from materialabs.crystals.symmetry import symmetry
from materialabs.elements import SYMBOLS

TOLERANCE = 0.01
"""Angstrom, of the space groups that the store shows."""


def alphabetical_formula(amounts: dict[int, float]) -> str:
    """A reduced formula with the elements in alphabetical order, as OPTIMADE writes it."""
    ordered = sorted((SYMBOLS[number], amount) for number, amount in amounts.items())
    return "".join(symbol + _amount(amount) for symbol, amount in ordered)


def anonymous_formula(amounts: dict[int, float]) -> str:
    """A reduced formula with A, B, C ... for the elements, the most frequent first."""
    counts = sorted(amounts.values(), reverse=True)
    return "".join(_letters(place) + _amount(count) for place, count in enumerate(counts))


def _letters(place: int) -> str:
    """A ... Z, Aa ... Za, Ab ..., as OPTIMADE names anonymous elements."""
    head, tail = place % 26, place // 26
    return chr(ord("A") + head) + (chr(ord("a") + tail - 1) if tail else "")


def _amount(amount: float) -> str:
    return "" if amount == 1 else f"{amount:g}"


def whole_amounts(amounts: dict[int, float]) -> dict[int, float]:
    """Fractional amounts as the nearest whole ones over a common denominator of 100."""
    if all(float(amount).is_integer() for amount in amounts.values()):
        return amounts
    total = sum(amounts.values())
    rounded = {number: max(1, round(100 * a / total)) for number, a in amounts.items()}
    divisor = int(np.gcd.reduce(list(rounded.values())))
    return {number: float(count // divisor) for number, count in rounded.items()}


def system_rows(compositions: Compositions) -> list[dict[str, Any]]:
    """The set of elements of each composition, as the ``systems`` table holds it."""
    masks = compositions.masks().astype(np.int64)
    sizes = np.diff(compositions.offsets)
    return [
        {
            "system": name,
            "elements_low": int(low),
            "elements_high": int(high),
            "nelements": int(size),
        }
        for name, (low, high), size in zip(compositions.systems(), masks, sizes, strict=True)
    ]


def structure_rows(crystals: Crystals) -> list[dict[str, Any]]:
    """One wide row for each crystal, without ids and property values."""
    found = symmetry(crystals, TOLERANCE)
    return rows_with_symmetry(crystals, found.number.tolist(), found.crystal_systems())


def rows_with_symmetry(
    crystals: Crystals, groups: Sequence[int], systems: Sequence[str]
) -> list[dict[str, Any]]:
    """The wide rows of crystals whose space groups and crystal systems are known."""
    compositions = crystals.compositions
    amounts = [whole_amounts(row) for row in compositions.reduced()]
    columns: dict[str, list[Any]] = {
        "formula": compositions.reduced_formulas(),
        "formula_alphabetical": [alphabetical_formula(row) for row in amounts],
        "formula_anonymous": [anonymous_formula(row) for row in amounts],
        "formula_descriptive": compositions.formulas(),
        "nelements": np.diff(compositions.offsets).tolist(),
        "nsites": crystals.counts.tolist(),
        "dimensions": crystals.pbc.sum(axis=1).tolist(),
        "disordered": crystals.disordered().tolist(),
        "space_group": [int(number) or None for number in groups],
        "crystal_system": [name or None for name in systems],
        "volume": crystals.volumes.tolist(),
        "density": densities(crystals).tolist(),
    }
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


NAME_DIGITS = 16
"""Hexadecimal digits of a crystal's hash that name it: 64 bits, enough for a billion crystals."""


def crystal_name(digest: bytes) -> str:
    """The name that people and programs use for a crystal, the same in every store."""
    return digest.hex()[:NAME_DIGITS]


def preferred(values: Sequence[tuple[int, int, int, float]]) -> float | None:
    """The preferred of (method, record, place in the record, value).

    The best method comes first (:data:`~materialabs.store.records.METHOD_KINDS`), then the newest
    record, then what stands first in it.
    """
    if not values:
        return None
    return min(values, key=lambda item: (item[0], -item[1], item[2]))[3]


def entry_seconds(time: str) -> int:
    """The time of a log entry in whole seconds since 1970."""
    return int(datetime.fromisoformat(time).timestamp())
