"""Tables with a known law, that tests learn from."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.elements import ELECTRONEGATIVITY

METALS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Ba", "Ti", "Zr", "Fe", "Co", "Ni", "Cu", "Zn", "Al"]
OTHERS = ["O", "S", "Se", "Cl", "Br", "N", "P", "Si"]


def formulas_of(count: int) -> list[str]:
    """Distinct binary formulas, always the same."""
    every = [
        f"{metal}{a if a > 1 else ''}{other}{b if b > 1 else ''}"
        for metal in METALS for other in OTHERS for a, b in ((1, 1), (2, 1), (1, 2), (2, 3))
    ]  # fmt: skip
    order = np.random.default_rng(3).permutation(len(every))[:count]
    return [every[place] for place in order]


def ionicity_of(formulas: list[str]) -> np.ndarray:
    """Square of the difference of electronegativities: what a strategy has to find."""
    cells = Compositions.parse(formulas)
    pairs = ELECTRONEGATIVITY[cells.elements].reshape(-1, 2)
    return (pairs[:, 0] - pairs[:, 1]) ** 2


def write_table(path: Path, count: int = 60, **columns: list[object]) -> Path:
    """A CSV with formulas, their ionicity, whether it is large, and other columns."""
    formulas = formulas_of(count)
    values = ionicity_of(formulas)
    rows = [
        {"formula": formula, "ionicity": float(value), "ionic": "yes" if value > 1.5 else "no",
         **{name: column[row] for name, column in columns.items()}}
        for row, (formula, value) in enumerate(zip(formulas, values, strict=True))
    ]  # fmt: skip
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
