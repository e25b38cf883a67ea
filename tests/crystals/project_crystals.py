"""Materials Project crystals of the reference data, read without the package's own readers."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.elements import atomic_number


def read_project_crystals(folder: Path, stop: int | None = None, step: int = 1) -> Crystals:
    """Every ``step``-th of the first ``stop`` crystals of mp36k, with their ids."""
    with gzip.open(folder / "structures" / "mp36k.jsonl.gz") as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, 0, stop, step)]
    return Crystals(
        np.array([_lattice(row["cell"]) for row in rows]),
        np.concatenate([np.array(row["frac"]).reshape(-1, 3) for row in rows]),
        np.array([atomic_number(symbol) for row in rows for symbol in row["species"]]),
        np.concatenate([[0], np.cumsum([len(row["species"]) for row in rows])]),
        columns={"id": [row["mp_id"] for row in rows]},  # type: ignore[arg-type]
    )


def _lattice(cell: list[float]) -> np.ndarray:
    a, b, c = cell[:3]
    alpha, beta, gamma = np.cos(np.radians(cell[3:]))
    height = (alpha - beta * gamma) / np.sqrt(1 - gamma**2)
    return np.array(
        [
            [a, 0, 0],
            [b * gamma, b * np.sqrt(1 - gamma**2), 0],
            [c * beta, c * height, c * np.sqrt(1 - beta**2 - height**2)],
        ]
    )


def disguised(crystal: Crystals, random: np.random.Generator) -> Crystals:
    """The same crystal in another cell, up to three times as large, origin, orientation, order."""
    while True:
        matrix = random.integers(-2, 3, (3, 3))
        size = abs(round(float(np.linalg.det(matrix))))
        if 1 <= size <= 3:
            break
    inverse = np.linalg.inv(matrix)
    span = np.arange(-8, 9)
    points = np.stack(np.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3)
    inside = np.unique(np.round((points @ inverse + 1e-9) % 1.0, 6), axis=0)
    assert len(inside) == size
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]
    frac = np.concatenate([crystal.frac @ inverse + point for point in inside]) + random.random(3)
    order = random.permutation(len(frac))
    numbers = np.tile(crystal.numbers, size)
    return Crystals.from_arrays(
        [matrix @ crystal.lattice[0] @ rotation], [frac[order]], [numbers[order]]
    )
