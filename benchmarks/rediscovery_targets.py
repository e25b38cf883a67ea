"""The compounds to rediscover, by a rule that was written before any run.

Targets are crystals of the Materials Project snapshot (mp36k) that lie on the hull of the whole
snapshot (1e-6 eV/atom), have two or three elements, at most 8 atoms in the primitive cell, and no
noble gas, no element from La to Lu and none beyond Bi. They are taken in the order of the MD5 of
their reduced formula, one of each chemical system: those whose structure type is among the
prototypes (``known type``), and those whose type is not (``other type``), neither by its label nor
by pymatgen's StructureMatcher blind to the elements. Those that the two tell apart are left out.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.harness import data_folder
from materialabs.crystals.batch import Crystals
from materialabs.crystals.files.cells import lattice_from_parameters
from materialabs.crystals.protostructure import prototype_labels
from materialabs.crystals.prototypes import prototypes
from materialabs.crystals.symmetry import primitive
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.hull import judge
from materialabs.levels import MP2018, Energies

LARGEST_TARGET = 8
"""Atoms in the primitive cell."""

ON_HULL = 1e-6
"""eV/atom."""

NOBLE_GASES = ("He", "Ne", "Ar", "Kr", "Xe")

KINDS = ("known type", "other type")
"""Whether the structure type is among the prototypes."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The crystals of mp36k and their formation energies, eV/atom.

    Parameters
    ----------
    crystals, energies
        One of each row.
    """

    crystals: Crystals
    energies: np.ndarray

    @classmethod
    def read(cls) -> Snapshot:
        """Read the file of the reference data."""
        path = data_folder() / "structures" / "mp36k.jsonl.gz"
        lattices, fracs, numbers, energies, names = [], [], [], [], []
        with gzip.open(path, "rt") as file:
            for line in file:
                row = json.loads(line)
                lattices.append(lattice_from_parameters(*row["cell"]))
                fracs.append(row["frac"])
                numbers.append([atomic_number(symbol) for symbol in row["species"]])
                energies.append(row["e_form_per_atom"])
                names.append(row["mp_id"])
        crystals = Crystals.from_arrays(lattices, fracs, numbers, columns={"id": names})
        return cls(crystals, np.array(energies))

    def of_system(self, system: str, most_atoms: int) -> Crystals:
        """Known compounds of a system and its subsystems, without the elements."""
        wanted = [atomic_number(symbol) for symbol in system.split("-")]
        crystals = self.crystals
        inside = np.isin(crystals.numbers, wanted)
        whole = np.bincount(crystals.owners, inside, minlength=len(crystals)) == crystals.counts
        kinds = np.diff(crystals.compositions.offsets)
        rows = np.flatnonzero(whole & (kinds > 1) & (crystals.counts <= most_atoms))
        return bare(crystals[rows])


@dataclass(frozen=True, eq=False)
class Target:
    """One compound to find: its formula, its system, its primitive cell, and its kind."""

    formula: str
    system: str
    crystal: Crystals
    kind: str


def targets(snapshot: Snapshot) -> Iterator[Target]:
    """All compounds that meet the rule, in its order."""
    rows, cells = _eligible(snapshot)
    formulas = snapshot.crystals[rows].reduced_formulas()
    order = sorted(range(len(rows)), key=lambda i: hashlib.md5(formulas[i].encode()).hexdigest())
    shipped = set(prototype_labels(prototypes().crystals))
    seen: set[str] = set()
    for place in order:
        one = bare(cells[[place]])
        (system,) = one.compositions.systems()
        if system in seen:
            continue
        seen.add(system)
        if prototype_labels(one)[0] in shipped:
            yield Target(formulas[place], system, one, KINDS[0])
        elif not like_a_prototype(one):
            yield Target(formulas[place], system, one, KINDS[1])


def like_a_prototype(crystal: Crystals) -> bool:
    """Whether pymatgen's matcher, blind to the elements, finds a primitive cell's prototype."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(primitive_cell=False)
    shipped = prototypes().crystals
    rows = np.flatnonzero(shipped.counts == len(crystal.numbers))
    (own,) = crystal.to_pymatgen()
    return any(
        _amounts(one) == _amounts(crystal)
        and matcher.fit_anonymous(own, bare(one).to_pymatgen()[0])
        for one in (shipped[row] for row in rows.tolist())
    )


def _amounts(crystal: Crystals) -> list[int]:
    return sorted(np.unique(crystal.numbers, return_counts=True)[1].tolist())


def first_of_each_kind(snapshot: Snapshot, count: int) -> dict[str, list[Target]]:
    """The first targets of each kind by the rule."""
    found: dict[str, list[Target]] = {kind: [] for kind in KINDS}
    for target in targets(snapshot):
        if len(found[target.kind]) < count:
            found[target.kind].append(target)
        if all(len(one) == count for one in found.values()):
            break
    return found


def _eligible(snapshot: Snapshot) -> tuple[np.ndarray, Crystals]:
    """Rows that meet the rule, and their primitive cells."""
    crystals = snapshot.crystals
    hull = judge(crystals.compositions, Energies(snapshot.energies, "formation", MP2018))
    kinds = np.diff(crystals.compositions.offsets)
    rare = np.array([_rare(number) for number in range(119)])
    odd = np.bincount(crystals.owners, rare[crystals.numbers], minlength=len(crystals)) > 0
    stable = hull.distance <= ON_HULL
    small = crystals.counts <= 4 * LARGEST_TARGET
    rows = np.flatnonzero(stable & (kinds >= 2) & (kinds <= 3) & ~odd & small)
    cells = primitive(crystals[rows])
    fits = cells.counts <= LARGEST_TARGET
    return rows[fits], cells[fits]


def _rare(number: int) -> bool:
    return SYMBOLS[number] in NOBLE_GASES or 57 <= number <= 71 or number > 83


def bare(crystals: Crystals) -> Crystals:
    """The batch without columns."""
    return crystals.replace(columns=None, site_columns=None)
