"""Smallest distances between atoms, and pushing atoms apart until they are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import FormulaError, InputError, PhysicsError

DISTANCE_SHARE: Final = 0.7
"""Atoms stay this share of the sum of their covalent radii apart by default. Bonds are rarely
shorter than 0.8 of it (N2 0.77, C=C 0.88), and a cell at 0.4 of its volume has them at 0.74."""

SHORTEST, LONGEST = 0.1, 10.0
"""Angstrom; smallest distances outside this range are refused."""

DENSEST: Final = np.pi / np.sqrt(18.0)
"""Share of space that equal spheres can fill (Hales 2005)."""

ROUNDING: Final = 1e-9
"""Angstrom; radii closer than this are equal."""

MinimumDistances = float | str | Mapping[str, float] | None
"""One distance for all pairs (``1.5``, ``"1.5"``), ``"Li-O=1.6, O-O=2.2"``, the same as a mapping,
or the default."""

_PAIR = re.compile(r"\s*([A-Za-z]+)\s*-\s*([A-Za-z]+)\s*$")


@lru_cache(maxsize=1)
def _radius_table() -> NDArray[np.float64]:
    from ase.data import covalent_radii as table
    from ase.data import missing

    radii = np.full(len(SYMBOLS), np.nan)
    radii[: len(table)] = np.where(table == missing, np.nan, table)[: len(SYMBOLS)]
    return radii


def covalent_radii(numbers: Sequence[int]) -> NDArray[np.float64]:
    """Covalent radii in angstrom (Cordero et al., Dalton Trans. 2832, 2008); NaN where unknown."""
    return np.asarray(_radius_table()[list(numbers)])


def distance_table(
    numbers: Sequence[int],
    minimum_distances: MinimumDistances | DistanceRule = None,
    *,
    scale: float = 1.0,
) -> NDArray[np.float64]:
    """Smallest allowed distance of each pair of elements [e, e], angstrom.

    Parameters
    ----------
    numbers
        Atomic numbers of the e elements.
    minimum_distances
        What the user asked for; pairs that it leaves out take the default.
    scale
        Factor on the default distances, not on those given.
    """
    rule = distance_rule(minimum_distances)
    radii = covalent_radii(numbers)
    table = np.asarray(DISTANCE_SHARE * scale * (radii[:, None] + radii[None, :]))
    if rule.everywhere is not None:
        table[:] = rule.everywhere
    for i, first in enumerate(numbers):
        for j, second in enumerate(numbers):
            table[i, j] = rule.pairs.get((first, second), table[i, j])
    if np.isnan(table).any():
        i, j = np.argwhere(np.isnan(table))[0]
        raise InputError(
            f"No radius is known for {SYMBOLS[numbers[i]]} or {SYMBOLS[numbers[j]]}: give the "
            f"smallest distance, such as '{SYMBOLS[numbers[i]]}-{SYMBOLS[numbers[j]]}=2.5'."
        )
    return table


@dataclass(frozen=True)
class DistanceRule:
    """Smallest distances as given: one for all pairs, or by pair of atomic numbers, angstrom."""

    everywhere: float | None
    pairs: Mapping[tuple[int, int], float]


def distance_rule(given: MinimumDistances | DistanceRule) -> DistanceRule:
    """Read smallest distances once, for use on many compositions."""
    if isinstance(given, DistanceRule):
        return given
    if given is None:
        return DistanceRule(None, {})
    if isinstance(given, str):
        given = _read_distances(given)
    if not isinstance(given, Mapping):
        return DistanceRule(_distance("all pairs", given), {})
    pairs: dict[tuple[int, int], float] = {}
    for pair, value in given.items():
        first, second = _elements(pair)
        pairs[first, second] = pairs[second, first] = _distance(pair, value)
    return DistanceRule(None, pairs)


def _read_distances(text: str) -> float | dict[str, float]:
    """One number for all pairs, or pairs with theirs."""
    try:
        return float(text)
    except ValueError:
        return _read_pairs(text)


def _read_pairs(text: str) -> dict[str, float]:
    pairs: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            pairs[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(
                f"The smallest distances {text!r} cannot be read at {part.strip()!r}: write "
                "one number of angstrom, or pairs such as 'Li-O=1.6, O-O=2.2'."
            )
    return pairs


def _elements(pair: str) -> tuple[int, int]:
    matched = _PAIR.match(pair)
    try:
        if matched is None:
            raise FormulaError(pair)
        return atomic_number(matched.group(1)), atomic_number(matched.group(2))
    except FormulaError as error:
        raise InputError(
            f"{pair!r} is not a pair of elements: write two symbols with a hyphen, 'Li-O'."
        ) from error


def _distance(pair: str, value: object) -> float:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else np.nan
    if not SHORTEST <= number <= LONGEST:
        raise InputError(
            f"The smallest distance of {pair} must be {SHORTEST} to {LONGEST} angstrom; "
            f"{value!r} was given."
        )
    return float(number)


def least_volume(counts: Sequence[int], nearest: NDArray[np.float64]) -> float:
    """A volume below which these atoms certainly cannot keep their distances, cubic angstrom.

    Spheres of half the smallest distance between atoms of an element never overlap (where pairs
    of unlike atoms may come nearer than that, of half the smallest distance to any atom), so that
    they fill no more than the cell; equal spheres fill at most :data:`DENSEST` of it.

    Parameters
    ----------
    counts
        Atoms of each of e elements.
    nearest
        [e, e], smallest distances in angstrom.
    """
    radii = 0.5 * np.diag(nearest)
    if (nearest < radii[:, None] + radii[None, :] - ROUNDING).any():
        radii = 0.5 * nearest.min(axis=1)
    filled = float(np.sum(np.asarray(counts) * 4.0 / 3.0 * np.pi * radii**3))
    return filled / DENSEST if np.ptp(radii) < ROUNDING else filled


@dataclass(frozen=True, eq=False)
class Packing:
    """Crystals whose atoms were pushed apart.

    Parameters
    ----------
    crystals
        With atoms where the push-off left them.
    closest
        float64 [n], the smallest distance over the smallest allowed one; infinite when no pair
        is near.
    packed
        bool [n], whether all distances are kept.
    """

    crystals: Crystals
    closest: NDArray[np.float64]
    packed: NDArray[np.bool_]


def push_apart(
    crystals: Crystals,
    minimum_distances: MinimumDistances = None,
    *,
    steps: int = 1000,
    threads: int = 1,
) -> Packing:
    """Move the atoms of each crystal, without symmetry, until all smallest distances are kept.

    Cells stay as they are. Along directions without periodicity the atoms stay between the
    lowest and the highest one.

    Parameters
    ----------
    crystals
        Ordered crystals, slabs or molecules.
    minimum_distances
        See :data:`MinimumDistances`.
    steps
        Most steps for one crystal.
    threads
        Crystals worked on at a time.
    """
    from materialabs.generation.packing_kernels import pack
    from materialabs.threads import map_chunks

    crystals.require_order("Pushing atoms apart")
    crystals = crystals.wrapped()
    rule = distance_rule(minimum_distances)

    def one(index: int) -> tuple[NDArray[np.float64], float]:
        atoms = slice(crystals.offsets[index], crystals.offsets[index + 1])
        elements, kinds = np.unique(crystals.numbers[atoms], return_inverse=True)
        nearest = distance_table(elements.tolist(), rule)
        frac = crystals.frac[atoms].copy()
        lattice = np.ascontiguousarray(crystals.lattice[index])
        if len(frac) == 0:
            return frac, np.inf
        return frac, pack(
            frac, kinds.astype(np.int64), lattice, crystals.pbc[index].copy(), nearest, steps
        )

    results = map_chunks(one, range(len(crystals)), threads=threads)
    closest = np.array([value for _, value in results])
    moved = np.concatenate([frac for frac, _ in results]) if results else crystals.frac
    return Packing(crystals.replace(frac=moved).wrapped(), closest, closest >= 1.0)


def check_density(
    counts: Sequence[int], nearest: NDArray[np.float64], volume: float, what: str
) -> None:
    """Refuse a volume (cubic angstrom) in which the atoms certainly cannot keep their distances."""
    needed = least_volume(counts, nearest)
    if volume < needed:
        raise PhysicsError(
            f"{what} is too dense: {volume:.4g} cubic angstrom for atoms that need more than "
            f"{needed:.4g} to keep their smallest distances; give more volume or smaller "
            "distances.",
            code="packing.too_dense",
        )
