"""Crystals to fill stores with: small known structures with other elements and cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.levels import MP2020
from materialabs.store.records import Method, Property

METALS = [3, 4, 11, 12, 19, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 37, 38, 55, 56]
ANIONS = [7, 8, 9, 16, 17, 34, 35, 53]
HALF, THIRD = 0.5, 1 / 3
CUBIC = np.eye(3) * 4.2
HEXAGONAL = np.array([[3.2, 0, 0], [-1.6, 1.6 * 3**0.5, 0], [0, 0, 5.2]])
SHAPES: list[tuple[Any, list[list[float]], str]] = [
    (CUBIC, [[0, 0, 0], [HALF, HALF, HALF]], "MA"),
    (CUBIC, [[0, 0, 0], [HALF, HALF, HALF], [HALF, HALF, 0], [HALF, 0, HALF], [0, HALF, HALF]],
     "MNAAA"),
    (HEXAGONAL, [[THIRD, 2 * THIRD, 0], [2 * THIRD, THIRD, HALF], [THIRD, 2 * THIRD, 0.38],
                 [2 * THIRD, THIRD, 0.88]], "MMAA"),
]  # fmt: skip
"""Caesium chloride, perovskite, wurtzite: cell (angstrom), sites, and what sits on them."""


def made_crystals(count: int, seed: int = 0) -> Crystals:
    """Crystals that all differ, the same for the same seed."""
    source = np.random.default_rng(seed)
    cells, fracs, numbers, offsets = [], [], [], [0]
    for _ in range(count):
        cell, sites, kinds = SHAPES[source.integers(len(SHAPES))]
        chosen = {"A": source.choice(ANIONS)}
        chosen["M"], chosen["N"] = source.choice(METALS, 2, replace=False)
        cells.append(cell * source.uniform(0.9, 1.2))
        fracs += sites
        numbers += [chosen[kind] for kind in kinds]
        offsets.append(len(numbers))
    return Crystals(
        np.array(cells),
        np.array(fracs),
        np.array(numbers, np.uint8),
        np.array(offsets),
        np.ones((count, 3), bool),
        columns={"id": [f"made-{seed}-{place}" for place in range(count)]},  # type: ignore[arg-type]
    )


def odd_crystals() -> dict[str, Crystals]:
    """One crystal of each kind that is out of the ordinary."""
    shared = Crystals.from_arrays([np.eye(3) * 4], [[[0, 0, 0]]], [[26]])
    table = Occupancy(np.array([0, 2]), np.array([26, 28], np.uint8), np.array([0.4, 0.6]))
    far = made_crystals(1).replace(lattice=made_crystals(1).lattice * [[[1, 1, 400.0]]])
    molecule = made_crystals(1, 2).replace(pbc=np.zeros((1, 3), bool))
    many = Crystals(
        np.eye(3)[None] * 30, np.random.default_rng(0).uniform(size=(900, 3)),
        np.full(900, 14, np.uint8), np.array([0, 900]), np.ones((1, 3), bool),
    )  # fmt: skip
    return {"shared site": shared.replace(occupancy=table), "long cell": far,
            "molecule": molecule, "many atoms": many}  # fmt: skip


def made_properties(count: int, seed: int = 0) -> list[tuple[Property, ...]]:
    """A band gap and a formation energy for each crystal."""
    source = np.random.default_rng(seed + 1)
    method = Method("dft", level=MP2020)
    return [
        (
            Property("band_gap", round(float(gap), 4), "eV", method),
            Property("formation_energy", round(float(energy), 4), "eV/atom", method),
        )
        for gap, energy in zip(
            source.uniform(0, 5, count), source.uniform(-3, 0.5, count), strict=True
        )
    ]


def write_files(folder: Path, count: int, files: int, seed: int = 0) -> list[Path]:
    """The same crystals in several files with their band gaps, for an ingest."""
    from materialabs.crystals.files import write

    folder.mkdir(parents=True, exist_ok=True)
    crystals = made_crystals(count, seed)
    gaps = np.random.default_rng(seed + 1).uniform(0, 5, count).round(4)
    crystals = crystals.with_columns(band_gap=gaps)
    paths = []
    for place, rows in enumerate(np.array_split(np.arange(count), files)):
        path = folder / f"part-{place:03d}.extxyz"
        write(crystals.take(rows), path)
        paths.append(path)
    return paths
