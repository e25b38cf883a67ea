"""Labels that name a structure type: which elements sit on which Wyckoff positions.

``AB3_cP4_221_a_c:Au-Cu`` reads: formula with the elements as letters, Pearson symbol, space
group, Wyckoff letters of each element with their counts, then the elements, all in alphabetical
order of the elements. This is AFLOW's notation (Mehl et al., Comput. Mater. Sci. 136, S1, 2017);
elements appended after Goodall et al., Sci. Adv. 8, eabn4117 (2022). Letters depend on the
chosen origin and basis, so of all descriptions that the affine normaliser of the space group
joins the one with the earliest letters is taken. pymatgen's labels take only part of these for
monoclinic and triclinic crystals, and count the hexagonal cell of rhombohedral ones (hR15 where
AFLOW and this write hR5).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from string import ascii_uppercase
from typing import Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import AMOUNT_TOLERANCE
from materialabs.crystals.symmetry import GROUPS, TOLERANCE, Symmetry, symmetry
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError

LETTERS: Final = "abcdefghijklmnopqrstuvwxyzA"
"""Wyckoff letters in order; Pmmm has 27 of them."""

_ALPHABETICAL: Final = np.argsort(np.argsort(SYMBOLS))
"""Place of each atomic number among the symbols in alphabetical order [119]."""

_LABEL = re.compile(r"((?:[A-Z]\d*)+)_([a-z][A-Z]\d+)_(\d+)_((?:(?:\d*[A-Za-z])+_?)+)")

Letters = tuple[tuple[str, int], ...]
"""Wyckoff letters of one element with how often each occurs."""


def protostructure_labels(
    crystals: Crystals, tolerance: float = TOLERANCE, *, found: Symmetry | None = None
) -> list[str | None]:
    """Name each crystal's structure type with its elements; ``None`` where no symmetry is found.

    The label does not depend on the cell, origin, orientation or order of atoms given. The same
    label is needed, but not enough, for two crystals to be alike: free coordinates and cell
    lengths are not in it.

    Parameters
    ----------
    crystals
        The batch; every site fully occupied.
    tolerance
        Angstrom, for the symmetry search.
    found
        The symmetry of these crystals where it is known already.
    """
    return [
        None if kind is None else f"{_text(kind)}:{'-'.join(kind.symbols)}"
        for kind in _kinds(crystals, tolerance, found)
    ]


def prototype_labels(
    crystals: Crystals, tolerance: float = TOLERANCE, *, found: Symmetry | None = None
) -> list[str | None]:
    """Name each crystal's structure type without its elements: equal for NaCl and MgO.

    The formula's letters rise with the amounts (``AB3``), and of elements with equal amounts the
    order with the earliest Wyckoff letters is taken. Arguments are those of
    :func:`protostructure_labels`.
    """
    return [
        None if kind is None else _anonymous_text(kind.pearson, kind.number, kind.species)
        for kind in _kinds(crystals, tolerance, found)
    ]


def canonical_prototype(label: str) -> str:
    """Rewrite a structure-type label, such as AFLOW's, into the form of :func:`prototype_labels`.

    Elements after a colon are dropped.

    Raises
    ------
    InputError
        When the text is not such a label.
    """
    match = _LABEL.fullmatch(label.split(":")[0].strip())
    if match is None or not 1 <= int(match[3]) <= GROUPS:
        raise _not_a_label(label)
    amounts = [float(text or 1) for text in re.findall(r"[A-Z](\d*)", match[1])]
    letters = [_read_letters(part) for part in match[4].split("_")]
    allowed = _relabelings(int(match[3]))[0].keys()
    if len(amounts) != len(letters) or not {n for part in letters for n, _ in part} <= allowed:
        raise _not_a_label(label)
    return _anonymous_text(match[2], int(match[3]), tuple(zip(amounts, letters, strict=True)))


def _not_a_label(label: str) -> InputError:
    return InputError(
        f"{label!r} is not a structure-type label: it reads like 'AB3_cP4_221_a_c', with one "
        "group of Wyckoff letters for each letter of the formula.",
        code="prototype.label",
    )


def _read_letters(text: str) -> Letters:
    counts: dict[str, int] = {}
    for amount, letter in re.findall(r"(\d*)([A-Za-z])", text):
        counts[letter] = counts.get(letter, 0) + int(amount or 1)
    return tuple(sorted(counts.items()))


# -- what sits where ------------------------------------------------------------------------------


class _Kind:
    """One crystal's Pearson symbol, space group, and letters of each element."""

    __slots__ = ("number", "pearson", "species", "symbols")

    def __init__(
        self,
        pearson: str,
        number: int,
        symbols: tuple[str, ...],
        species: tuple[tuple[float, Letters], ...],
    ) -> None:
        self.pearson = pearson
        self.number = number
        self.symbols = symbols
        self.species = species


def _kinds(crystals: Crystals, tolerance: float, found: Symmetry | None) -> list[_Kind | None]:
    """Count letters by element over the whole batch, one entry for each orbit."""
    crystals.require_order("A structure-type label")
    found = symmetry(crystals, tolerance) if found is None else found
    if len(found) != len(crystals) or len(found.orbits) != len(crystals.frac):
        raise InputError("The symmetry given belongs to another batch: leave it out.")
    first = np.flatnonzero(found.orbits == np.arange(len(found.orbits)))
    place = {letter: index for index, letter in enumerate(LETTERS)}
    codes = np.array([place.get(letter, 0) for letter in found.wyckoff[first].tolist()], np.int64)
    key = (crystals.owners[first] * 128 + _ALPHABETICAL[crystals.numbers[first]]) * 32 + codes
    keys, counts = np.unique(key, return_counts=True)
    entries = zip((keys // 32).tolist(), (keys % 32).tolist(), counts.tolist(), strict=True)
    letters: list[dict[str, Letters]] = [{} for _ in range(len(crystals))]
    symbols = sorted(SYMBOLS)
    for owner, group in itertools.groupby(entries, key=lambda entry: entry[0]):
        letters[owner // 128][symbols[owner % 128]] = tuple(
            (LETTERS[code], count) for _, code, count in group
        )
    return [
        _kind(str(found.pearson[i]), int(found.number[i]), letters[i], amounts)
        for i, amounts in enumerate(crystals.compositions.reduced())
    ]


def _kind(
    pearson: str, number: int, letters: dict[str, Letters], amounts: dict[int, float]
) -> _Kind | None:
    if number == 0:
        return None
    by_symbol = {SYMBOLS[element]: amount for element, amount in amounts.items()}
    species = tuple((by_symbol[symbol], row) for symbol, row in letters.items())
    return _Kind(pearson, number, tuple(letters), species)


# -- canonical text -------------------------------------------------------------------------------


def _text(kind: _Kind) -> str:
    formula = _formula(amount for amount, _ in kind.species)
    letters = _earliest(kind.number, tuple(row for _, row in kind.species))
    return f"{formula}_{kind.pearson}_{kind.number}_{letters}"


def _anonymous_text(pearson: str, number: int, species: tuple[tuple[float, Letters], ...]) -> str:
    amounts = sorted(amount for amount, _ in species)
    letters = _earliest_anonymous(number, tuple(sorted(species)))
    return f"{_formula(amounts)}_{pearson}_{number}_{letters}"


def _formula(amounts: Iterable[float]) -> str:
    return "".join(
        letter if abs(amount - 1.0) < AMOUNT_TOLERANCE else f"{letter}{amount:g}"
        for letter, amount in zip(ascii_uppercase, amounts, strict=False)
    )


@lru_cache(maxsize=65536)
def _earliest(number: int, rows: tuple[Letters, ...]) -> str:
    """The earliest way to write the letters of elements whose order is fixed."""
    return min(_written(number, rows))[1]


@lru_cache(maxsize=65536)
def _earliest_anonymous(number: int, species: tuple[tuple[float, Letters], ...]) -> str:
    """The same where elements with equal amounts may change places."""
    amounts = [amount for amount, _ in species]
    best = (np.inf, "")
    for score, text in _written(number, tuple(row for _, row in species)):
        # Sorting with the separator appended makes the joined text the least one.
        pairs = sorted(zip(amounts, (f"{part}_" for part in text.split("_")), strict=True))
        best = min(best, (score, "".join(part for _, part in pairs)[:-1]))
    return best[1]


def _written(number: int, rows: tuple[Letters, ...]) -> set[tuple[int, str]]:
    """Every equivalent way to write the letters, each with its score.

    The score is the sum of the letters' places over the elements (pymatgen's convention, in which
    the 27th letter counts zero); the lowest, then the first in the alphabet, is the canonical one.
    """
    options = set()
    used = tuple(sorted({letter for row in rows for letter, _ in row}))
    for images in _images(number, used):
        table = dict(zip(used, images, strict=True))
        renamed = [sorted((table[letter], count) for letter, count in row) for row in rows]
        score = sum(_SCORES[letter] for row in renamed for letter, _ in row)
        parts = ["".join(f"{n if n > 1 else ''}{letter}" for letter, n in row) for row in renamed]
        options.add((score, "_".join(parts)))
    return options


_SCORES: Final = {letter: (index + 1) % len(LETTERS) for index, letter in enumerate(LETTERS)}


@lru_cache(maxsize=GROUPS)
def _relabelings(number: int) -> tuple[dict[str, str], ...]:
    """Permutations of a group's letters by the changes of origin and basis that keep the group."""
    return tuple(dict(zip(LETTERS, images, strict=False)) for images in _table()[str(number)])


@lru_cache(maxsize=8192)
def _images(number: int, used: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """The distinct things that the relabelings make of the letters that occur."""
    return frozenset(tuple(table[letter] for letter in used) for table in _relabelings(number))


@lru_cache(maxsize=1)
def _table() -> dict[str, list[str]]:
    """Written by ``scripts/make_wyckoff_relabelings.py``."""
    text = resources.files("materialabs.crystals").joinpath("wyckoff_relabelings.json").read_text()
    table: dict[str, list[str]] = json.loads(text)
    return table
