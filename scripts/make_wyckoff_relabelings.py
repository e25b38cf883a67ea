"""Write src/materialabs/crystals/wyckoff_relabelings.json: which Wyckoff letters may change places.

The letters of a crystal depend on the origin and the basis that describe it. For each of the 230
space groups this samples descriptions of one crystal that has an orbit on every Wyckoff position
(random metric, origin and hand), reads the letters that moyo gives, and closes the permutations
found into a group: the action of the affine normaliser on the letters. pymatgen's own list, which
leaves out the changes of basis of triclinic and monoclinic crystals, has to lie inside and is
checked. Needs pyxtal for the positions. Run with ``python scripts/make_wyckoff_relabelings.py``
(about two minutes); the file is committed.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
from moyopy import Cell, MoyoDataset
from numpy.typing import NDArray

warnings.simplefilter("ignore")
logging.getLogger("moyo").setLevel(logging.ERROR)

from pymatgen.analysis.prototypes import _data as pymatgen_tables  # noqa: E402
from pyxtal.symmetry import Group  # noqa: E402

TARGET = Path(__file__).parent.parent / "src/materialabs/crystals/wyckoff_relabelings.json"
LETTERS = "abcdefghijklmnopqrstuvwxyzA"
QUIET_SAMPLES = 150
"""Sampling a group ends after this many descriptions without a new permutation."""
EXTRA_GENERAL = 3
"""General orbits beside the one on each position."""
EXTRA_KIND = 100
"""Kinds from here on mark those orbits."""

Array = NDArray[np.float64]
Permutation = tuple[int, ...]


def main() -> None:
    """Sample, compare with pymatgen's list, write."""
    random = np.random.default_rng(0)
    table = {}
    for number in range(1, 231):
        found = sampled(number, random)
        known = pymatgen_permutations(number, len(next(iter(found))))
        if not known <= found:
            print(number, "pymatgen lists", len(known - found), "that sampling did not meet")
        if len(found) != len(known):
            print(number, "found", len(found), "where pymatgen lists", len(known))
        table[str(number)] = sorted("".join(LETTERS[i] for i in p) for p in found)
    TARGET.write_text(json.dumps(table, separators=(",", ":")) + "\n")


def sampled(number: int, random: np.random.Generator) -> set[Permutation]:
    """All permutations of the letters of one group."""
    kinds, frac = orbits(number, random)
    group: set[Permutation] = set()
    first: list[int] | None = None
    quiet = 0
    while quiet < QUIET_SAMPLES:
        letters = letters_of(number, random_lattice(number, random), frac, kinds, random)
        quiet += 1
        if letters is None:
            continue
        first = first or letters
        permutation = mapped(first, letters)
        if permutation not in group:
            group = closed(group | {permutation})
            quiet = 0
    return group


def mapped(first: list[int], letters: list[int]) -> Permutation:
    """The permutation that carries each orbit's first letter to the one it has now."""
    images = dict(zip(first, letters, strict=True))
    return tuple(images[i] for i in range(len(first)))


def orbits(number: int, random: np.random.Generator) -> tuple[NDArray[np.int64], Array]:
    """One orbit on every Wyckoff position, and more general ones so that no symmetry is added."""
    kinds: list[int] = []
    positions: list[Array] = []
    places = Group(number).Wyckoff_positions
    general = places[0]
    for position in [*places, *[general] * EXTRA_GENERAL]:
        point = random.random(3)
        images = np.array([operation.operate(point) for operation in position.ops]) % 1.0
        kind = LETTERS.index(position.letter) + 1 if len(positions) < len(places) else EXTRA_KIND
        kinds += [kind + len(positions) * (kind == EXTRA_KIND)] * len(images)
        positions.append(images)
    return np.array(kinds), np.concatenate(positions)


def random_lattice(number: int, random: np.random.Generator) -> Array:
    """A cell of the group's lattice system with random lengths and angles."""
    a, b, c = random.uniform(8.0, 16.0, 3)
    if number <= 2:
        return random.normal(size=(3, 3)) * 10.0
    if number <= 15:
        plane = random.normal(size=(2, 2)) * 10.0
        return np.array([[plane[0, 0], 0, plane[0, 1]], [0, b, 0], [plane[1, 0], 0, plane[1, 1]]])
    if number <= 74:
        return np.diag([a, b, c])
    if number <= 142:
        return np.diag([a, a, c])
    if number <= 194:
        return np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    return np.diag([a, a, a])


def letters_of(
    number: int,
    lattice: Array,
    frac: Array,
    kinds: NDArray[np.int64],
    random: np.random.Generator,
) -> list[int] | None:
    """The letter of each kind as moyo names it, or nothing where the group was not recognised."""
    hand = -1.0 if random.random() < 0.5 else 1.0
    order = random.permutation(3)
    if abs(np.linalg.det(lattice)) < 100.0:
        return None
    cell = Cell(
        (lattice * hand)[order].tolist(),
        (frac + random.random(3))[:, order].tolist(),
        kinds.tolist(),
    )
    try:
        dataset = MoyoDataset(cell, symprec=1e-4)
    except ValueError:
        return None
    if dataset.number != number:
        return None
    letter = dict(zip(kinds.tolist(), dataset.wyckoffs, strict=True))
    found = [LETTERS.index(letter[kind]) for kind in sorted(letter) if kind < EXTRA_KIND]
    return found if len(set(found)) == len(found) else None


def closed(permutations: set[Permutation]) -> set[Permutation]:
    """The group that permutations generate."""
    generators = list(permutations)
    identity = tuple(range(len(generators[0])))
    group, fresh = {identity}, [identity]
    while fresh:
        made = {tuple(g[i] for i in p) for p in fresh for g in generators} - group
        group |= made
        fresh = list(made)
    return group


def pymatgen_permutations(number: int, count: int) -> set[Permutation]:
    """Pymatgen's relabelings as permutations."""
    tables = pymatgen_tables.WYCKOFF_POSITION_RELAB_DICT[str(number)]
    return {
        tuple(LETTERS.index(table.get(ord(letter), letter)) for letter in LETTERS[:count])
        for table in tables
    }


if __name__ == "__main__":
    main()
