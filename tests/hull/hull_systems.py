"""Systems for the tests of hulls: drawn ones, and the reference data as pymatgen's entries."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from materialabs.crystals.compositions import Compositions
from materialabs.levels import Energies, Level

LEVEL = Level("PBE")
ELEMENTS = (3, 8, 15, 16, 26, 27, 12, 13, 14)
ALEXANDRIA = ("Ca-C-O", "Cu-Zn-O", "Li-Mn-O", "Li-Ni-O", "Li-P-S", "Mg-Si-O")


def formation(values: Any) -> Energies:
    return Energies(values, "formation", LEVEL)


def total(values: Any) -> Energies:
    return Energies(values, "total", LEVEL)


def compositions_of(amounts: Any) -> Compositions:
    """Compositions from a table of amounts [n, k] over ``ELEMENTS``."""
    rows = [{ELEMENTS[i]: float(v) for i, v in enumerate(row) if v} for row in np.asarray(amounts)]
    return Compositions.from_dicts(rows)


@st.composite
def entries(
    draw: st.DrawFn, least: int = 2, most: int = 5, count: int = 25
) -> tuple[Compositions, Energies]:
    """Entries of a system with many ties: small whole amounts, energies on a coarse grid or not."""
    size = draw(st.integers(least, most))
    rows = draw(st.integers(1, count))
    amounts = draw(hnp.arrays(np.int64, (rows, size), elements=st.integers(0, 4)))
    amounts[amounts.sum(axis=1) == 0, 0] = 1
    coarse = draw(st.booleans())
    grid = st.integers(-8, 4).map(lambda value: value / 4)
    fine = st.floats(-2.0, 0.5, allow_nan=False, width=32)
    energies = draw(hnp.arrays(np.float64, rows, elements=grid if coarse else fine))
    return compositions_of(amounts), formation(energies)


def random_system(
    size: int, count: int, seed: int, largest: int = 6
) -> tuple[Compositions, Energies]:
    """A system with realistic energies: a solution model scattered by 0.1 eV/atom."""
    rng = np.random.default_rng(seed)
    amounts = rng.integers(0, largest + 1, (count, size)) * (rng.random((count, size)) < 0.6)
    amounts = amounts[(amounts > 0).sum(axis=1) > 1]
    x = amounts / amounts.sum(axis=1, keepdims=True)
    affinity = np.triu(rng.uniform(0.5, 4.0, (size, size)), 1)
    values = -np.einsum("ni,ij,nj->n", x, affinity, x) + rng.normal(0.0, 0.1, len(x))
    return compositions_of(amounts), formation(values)


def documents(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of one of the reference hulls."""
    with gzip.open(folder / "hulls" / name, "rt") as file:
        rows: list[dict[str, Any]] = json.load(file)
    return rows


def peer_entries(compositions: Compositions, energies: Energies) -> list[Any]:
    """The same as pymatgen's entries, the elements at zero added for formation energies."""
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition, Element

    made = [
        PDEntry(Composition({Element.from_Z(z): v for z, v in row.items()}), e * sum(row.values()))
        for row, e in zip(compositions, energies.values.tolist(), strict=True)
    ]
    if energies.kind == "formation":
        made += [PDEntry(Composition(Element.from_Z(z).symbol), 0.0)
                 for z in compositions.present()]  # fmt: skip
    return made


def lowest_by_highs(compositions: Compositions, energies: Energies, x: Any) -> Any:
    """Energy of the hull at fractions [m, k], by scipy's linear programming."""
    from scipy.optimize import linprog

    elements = compositions.present()
    fractions = np.concatenate([np.eye(len(elements)), compositions.fractions(elements)])
    values = np.concatenate([np.zeros(len(elements)), energies.values])
    return np.array([linprog(values, A_eq=fractions.T, b_eq=row).fun for row in np.atleast_2d(x)])
