"""Small tables that tests train on: binary crystals with a property that follows from chemistry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.elements import COVALENT_RADIUS, ELECTRONEGATIVITY, SYMBOLS, atomic_number

CATIONS = [
    "Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca", "Sr", "Ba", "Sc", "Y", "Ti", "Zr", "V", "Cr",
    "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Al", "Ga",
]  # fmt: skip
ANIONS = ["O", "S", "Se", "F", "Cl", "Br", "N", "P"]
FACE_CENTRED = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2.0


def crystals_of(count: int) -> Crystals:
    """Compounds of one cation and one anion in the structure of NaCl or of CsCl."""
    pairs = [(cation, anion) for cation in CATIONS for anion in ANIONS]
    order = np.random.default_rng(5).permutation(len(pairs))[:count]
    lattices, fracs, numbers, names = [], [], [], []
    for place, row in enumerate(order.tolist()):
        z = [atomic_number(symbol) for symbol in pairs[row]]
        bond = COVALENT_RADIUS[z].sum()
        salt = place % 3 != 0
        lattices.append(FACE_CENTRED * 2.0 * bond if salt else np.eye(3) * 1.15 * bond)
        fracs.append([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
        numbers.append(z)
        names.append(f"c-{place}")
    return Crystals.from_arrays(lattices, fracs, numbers, columns={"id": names})


def rattled(crystals: Crystals) -> Crystals:
    """The same with every atom moved a little, so that no symmetry is left."""
    moves = np.random.default_rng(7).normal(0.0, 0.01, crystals.frac.shape)
    return crystals.replace(frac=crystals.frac + moves)


def ionic_energies(crystals: Crystals) -> np.ndarray:
    """-(difference of electronegativities)^2 / 4 of each binary crystal, after Pauling."""
    pairs = ELECTRONEGATIVITY[crystals.numbers].reshape(-1, 2)
    return -0.25 * (pairs[:, 0] - pairs[:, 1]) ** 2


def rows_of(crystals: Crystals) -> list[dict[str, object]]:
    values = ionic_energies(crystals)
    return [
        {
            "id": name,
            "formula": formula,
            "ionic": float(value),
            "oxide": "O" in {SYMBOLS[z] for z in one.numbers},
            "species": [SYMBOLS[z] for z in one.numbers],
            "lattice": one.lattice[0].tolist(),
            "frac": one.frac.tolist(),
        }
        for name, formula, value, one in zip(
            crystals.ids(), crystals.reduced_formulas(), values, crystals, strict=True
        )
    ]


def crystal_table(path: Path, count: int = 90) -> Path:
    """JSON lines with structures, the columns ``ionic`` and ``oxide``."""
    lines = [json.dumps(row) for row in rows_of(crystals_of(count))]
    path.write_text("\n".join(lines) + "\n")
    return path


def formula_table(path: Path, count: int = 150, **extra: list[object]) -> Path:
    """CSV with formulas, ``ionic`` and ``oxide``, and further columns."""
    rows = rows_of(crystals_of(count))
    names = ["id", "formula", "ionic", "oxide", *extra]
    lines = [",".join(names)]
    for place, row in enumerate(rows):
        cells = [row[name] for name in names[:4]] + [extra[name][place] for name in extra]
        lines.append(",".join(str(cell) for cell in cells))
    path.write_text("\n".join(lines) + "\n")
    return path
