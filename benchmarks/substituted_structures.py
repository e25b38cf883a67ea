"""Fill a store with structures made by substitution on real ones, as many as are wanted.

Structure i is the same in every run: a compound of mp36k whose elements are exchanged for others
of their column of the periodic table, with its cell scaled. The symmetry of the parent is kept by
that, so that it is found once for each parent; all else goes through the product's own writer,
signatures and log included. A build that was stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import data_folder
from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import rounded, to_blobs
from materialabs.crystals.files import read
from materialabs.crystals.symmetry import symmetry
from materialabs.levels import MP2018
from materialabs.store.derive import TOLERANCE, rows_with_symmetry, system_rows
from materialabs.store.observations import PreparedCrystals, prepare_record, records_of
from materialabs.store.records import Method, Property
from materialabs.store.store import Store

PARENTS: Final = 4_000
MOST_SITES: Final = 20
BATCH: Final = 5_000
COLUMNS: Final = (
    (3, 11, 19, 37, 55), (4, 12, 20, 38, 56), (21, 39, 57, 58, 59, 60, 62, 64, 66, 68, 70),
    (22, 40, 72), (23, 41, 73), (24, 42, 74), (25, 26, 27, 28), (29, 47, 79), (30, 48),
    (5, 13, 31, 49), (6, 14, 32, 50), (7, 15, 33, 51), (8, 16, 34, 52), (9, 17, 35, 53),
    (44, 45, 46, 76, 77, 78),
)  # fmt: skip
"""Atomic numbers that stand for one another."""
SMALLEST_SCALE, LARGEST_SCALE = 0.95, 1.08
GAP_SPREAD_EV, ENERGY_SPREAD_EV = 0.3, 0.1


class Parents:
    """Compounds of mp36k with their symmetry, gaps and formation energies."""

    def __init__(self) -> None:
        everything = read(data_folder() / "structures" / "mp36k.jsonl.gz")
        small = np.flatnonzero(everything.counts <= MOST_SITES)
        chosen = np.random.default_rng(1).choice(small, PARENTS, replace=False)
        self.crystals = everything.take(np.sort(chosen))
        found = symmetry(rounded(self.crystals), TOLERANCE)
        self.groups = np.array(found.number)
        self.systems = np.array(found.crystal_systems())
        gaps = np.asarray(self.crystals.columns["gap_pbe_megnet2018"], dtype=float)
        energies = np.asarray(self.crystals.columns["formation_energy"], dtype=float)
        self.gaps, self.energies = np.nan_to_num(gaps), np.nan_to_num(energies)

    def substituted(self, batch: int, count: int) -> tuple[Crystals, NDArray[np.int64]]:
        """The structures of one batch, and the parent of each."""
        source = np.random.default_rng([11, batch])
        rows = source.integers(0, PARENTS, count)
        crystals = self.crystals.take(rows)
        table = np.tile(np.arange(256, dtype=np.uint8), (count, 1))
        for column in COLUMNS:
            members = np.array(column, np.uint8)
            order = np.argsort(source.random((count, len(members))), axis=1)
            table[:, members] = members[order]
        numbers = table[crystals.owners, crystals.numbers]
        scale = source.uniform(SMALLEST_SCALE, LARGEST_SCALE, count)
        lattice = crystals.lattice * scale[:, None, None]
        names = np.array([f"made-{batch}-{place}" for place in range(count)], dtype=object)
        made = Crystals(
            lattice, crystals.frac, numbers, crystals.offsets, crystals.pbc,
            columns={"id": names},  # type: ignore[arg-type]
        )  # fmt: skip
        return made, rows

    def properties(self, batch: int, rows: NDArray[np.int64]) -> list[tuple[Property, ...]]:
        """A band gap and a formation energy near the parent's for each structure."""
        source = np.random.default_rng([13, batch])
        spread = source.normal(size=(2, len(rows)))
        gaps = np.maximum(0, self.gaps[rows] + GAP_SPREAD_EV * spread[0]).round(4)
        energies = (self.energies[rows] + ENERGY_SPREAD_EV * spread[1]).round(4)
        method = Method("dft", level=MP2018)
        return [
            (
                Property("band_gap", gap, "eV", method),
                Property("formation_energy", energy, "eV/atom", method),
            )
            for gap, energy in zip(gaps.tolist(), energies.tolist(), strict=True)
        ]


def prepared(crystals: Crystals, groups: list[int], systems: list[str]) -> PreparedCrystals:
    """What the store derives from crystals whose symmetry is known."""
    import hashlib

    blobs = to_blobs(crystals)
    return PreparedCrystals(
        blobs,
        [hashlib.sha256(blob).digest() for blob in blobs],
        rows_with_symmetry(rounded(crystals), groups, systems),
        system_rows(crystals.compositions),
    )


def build(store: Store, count: int) -> Iterator[tuple[int, float]]:
    """Bring a store to this many structures; yields structures and seconds after each batch."""
    parents = Parents()
    have = len(store)
    for batch in range(have // BATCH, -(-count // BATCH)):
        start = time.perf_counter()
        crystals, rows = parents.substituted(batch, min(BATCH, count - batch * BATCH))
        ready = prepared(crystals, parents.groups[rows].tolist(), parents.systems[rows].tolist())
        records = records_of(crystals, parents.properties(batch, rows))
        key = store.identity.contributor
        store.commit(ready, [prepare_record(record, key) for record in records], {})
        yield batch * BATCH + len(crystals), time.perf_counter() - start


def size_of(place: Path) -> int:
    """Bytes of a SQLite store with its log file."""
    return sum(one.stat().st_size for one in place.parent.glob(place.name + "*"))
