"""The pools of the benchmark `acceleration`: what is asked for, and what a chooser is told.

A chooser is told of every candidate what would be known before any calculation. Of the perovskites
that is which element stands at which site of the ideal cell: the relaxed cell is a label. Of the
entries of a chemical system it is the composition and an unrelaxed copy of the crystal: strained
(3 % in each component), every atom moved (0.06 angstrom in each coordinate), and at the volume that
is estimated from the composition; neither the relaxed cell nor the space group is told. Formation
energies are measured from the elements, whose energies are taken as known.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from benchmarks.harness import data_folder
from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.discovery.surrogate_factors import Inputs
from materialabs.discovery.surrogate_families import Family
from materialabs.discovery.surrogate_systems import describe
from materialabs.elements import atomic_number
from materialabs.hull import Hull
from materialabs.hull.entries import entries_for
from materialabs.levels import MP2018, Energies
from materialabs.networks.distortions import shaken

PEROVSKITE_LIMIT = 0.2
"""eV/atom; a heat of formation up to this counts as found (114 crystals)."""

ANIONS = (7, 8, 9, 16)
"""N, O, F and S: what the X sites hold."""

IDEAL = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5))
"""Fractional coordinates of A, B and the three X of the ideal cell."""

ORBITS = ((0,), (1,), (2, 3, 4))

SHAKEN_SEED = 0


@dataclass(frozen=True, eq=False)
class Task:
    """A pool of candidates with hidden labels.

    Parameters
    ----------
    name
        Of the pool.
    crystals
        Unrelaxed candidates [n].
    labels
        Hidden until asked for [n], eV/atom.
    hits
        Which candidates are looked for [n].
    plain, described
        Tables of numbers for the peers: the inputs as they are, and with descriptors.
    """

    name: str
    crystals: Crystals
    labels: np.ndarray
    hits: np.ndarray
    plain: np.ndarray
    described: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class FamilyTask(Task):
    """Crystals of one structure type; looked for are those whose label is at most a limit."""

    family: Family = field(kw_only=True)
    limit: float = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class SystemTask(Task):
    """Entries of a chemical system; looked for are those on the hull of all of them."""

    elements: tuple[int, ...] = field(kw_only=True)
    energies: Energies = field(kw_only=True)
    blocks: Inputs = field(kw_only=True)


def perovskites(column: str = "heat_all", limit: float = PEROVSKITE_LIMIT) -> FamilyTask:
    """The perovskites of Castelli et al. (2012) in their ideal cells."""
    rows = []
    for part in ("val", "test"):
        path = data_folder() / "structures" / f"perov5_{part}.csv"
        rows += list(csv.DictReader(io.StringIO(path.read_text())))
    sites = np.array([_sites(row["cif"]) for row in rows])
    labels = np.array([float(row[column]) for row in rows])
    crystals = _ideal(sites)
    family = Family.of(crystals, ORBITS)
    return FamilyTask(
        "perov5", crystals, labels, labels <= limit + 1e-9, one_hot(family),
        np.concatenate([one_hot(family), *family.described().values()], axis=1),
        family=family, limit=limit,
    )  # fmt: skip


def network_opinion(crystals: Crystals) -> np.ndarray:
    """Hull distance by the network that ships, above the Materials Project's own hull [n, 1].

    eV/atom. The network and the hull stand at another level than the labels of the perovskites,
    which neither has seen; some of the same compounds are among what both know.
    """
    from materialabs.hull import HullPatches
    from materialabs.networks.models import load_model

    compositions, energies = snapshot_energies()
    said = load_model("energy").predict(crystals, relaxed=False)
    edge = HullPatches(compositions, energies).energy(crystals).values
    return (said.mean - edge)[:, None]


def snapshot_energies() -> tuple[Compositions, Energies]:
    """Compositions and formation energies of the Materials Project snapshot."""
    amounts, energies = [], []
    with gzip.open(data_folder() / "structures" / "mp36k.jsonl.gz", "rt") as file:
        for line in file:
            entry = json.loads(line)
            counts = Counter(entry["species"])
            amounts.append({atomic_number(one): float(n) for one, n in counts.items()})
            energies.append(entry["e_form_per_atom"])
    return Compositions.from_dicts(amounts), Energies(np.array(energies), "formation", MP2018)


def _sites(cif: str) -> list[int]:
    """Occupants of A, B and the three X; atoms moved along x alone, which y and z leave open."""
    places: dict[tuple[int, int, bool], int] = {}
    pattern = r"^\s*([A-Z][a-z]?)\s+\w+\s+1\s+\S+\s+(\S+)\s+(\S+)\s+1\s*$"
    for symbol, y, z in re.findall(pattern, cif, re.MULTILINE):
        number = atomic_number(symbol)
        half = (round(2 * float(y)) % 2, round(2 * float(z)) % 2)
        places[(*half, half == (1, 1) and number in ANIONS)] = number
    order = [(0, 0, False), (1, 1, False), (0, 1, False), (1, 0, False), (1, 1, True)]
    return [places[place] for place in order]


def _ideal(sites: np.ndarray) -> Crystals:
    """Cubic cells at estimated volumes."""
    cells = np.broadcast_to(np.eye(3), (len(sites), 3, 3))
    unit = Crystals.from_arrays(list(cells), [IDEAL] * len(sites), list(sites))
    edges = estimated_volumes(unit.compositions) ** (1.0 / 3.0)
    return unit.replace(lattice=unit.lattice * edges[:, None, None])


def one_hot(family: Family) -> np.ndarray:
    """Share of each element at each kind of site."""
    parts = []
    for site in family.sites:
        present = np.unique(site)
        parts.append((site[:, :, None] == present).mean(axis=1))
    return np.concatenate(parts, axis=1)


def entries(file: str) -> SystemTask:
    """The entries of a chemical system from a file of pymatgen computed entries."""
    from pymatgen.core import Structure

    path = data_folder() / "hulls" / file
    table = entries_for(path)
    documents = json.loads(gzip.decompress(path.read_bytes()))
    relaxed = Crystals.from_pymatgen([Structure.from_dict(one["structure"]) for one in documents])
    hull = Hull(table.compositions, table.energies)
    formation = Energies(hull.formation_energies[: len(table)], "formation", table.energies.level)
    return system_task(hull.system, relaxed, formation, hull.stable[: len(table)])


def system_task(name: str, relaxed: Crystals, formation: Energies, hits: np.ndarray) -> SystemTask:
    """A task from relaxed crystals, of which only unrelaxed copies are told."""
    bare = relaxed.replace(columns=None, site_columns=None)
    copies = shaken(bare, np.arange(len(bare)), SHAKEN_SEED).crystals
    scale = (estimated_volumes(copies.compositions) / copies.volumes) ** (1.0 / 3.0)
    crystals = copies.replace(lattice=copies.lattice * scale[:, None, None])
    elements = crystals.compositions.present()
    blocks = describe(crystals, elements)
    fractions = crystals.compositions.fractions(elements)
    described = np.concatenate([fractions, blocks["chemistry"], blocks["structure"]], axis=1)
    return SystemTask(
        name, crystals, formation.values, hits, fractions, standard(described),
        elements=elements, energies=formation, blocks=blocks,
    )  # fmt: skip


def standard(table: np.ndarray) -> np.ndarray:
    """Columns centred and scaled; those that never change are zero."""
    width = table.std(axis=0)
    return (table - table.mean(axis=0)) / np.where(width > 1e-9, width, np.inf)
