"""Text of CIF data blocks: the cell, all its atoms, no symmetry but the identity."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files.cells import parameters_of
from materialabs.crystals.files.cif import OWN_ID
from materialabs.elements import SYMBOLS

LONGEST_NAME: Final = 75
"""Characters of a block's name that CIF 1.1 allows."""

_CELL: Final = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_SITES: Final = ("type_symbol", "label", "symmetry_multiplicity", "fract_x", "fract_y", "fract_z",
                 "occupancy")  # fmt: skip


def blocks_of(crystals: Crystals) -> Iterator[str]:
    """One data block for each crystal, with names that differ."""
    taken: dict[str, int] = {}
    formulas = crystals.compositions.formulas()
    reduced = crystals.reduced_formulas()
    for index, name in enumerate(crystals.ids()):
        block = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[: LONGEST_NAME - 8] or "crystal"
        count = taken.get(block, 0)
        taken[block] = count + 1
        title = f"{block}_{count + 1}" if count else block
        yield _block(crystals[index], title, name, formulas[index], reduced[index])


def _block(crystal: Crystals, title: str, name: str, formula: str, reduced: str) -> str:
    lattice, frac = crystal.lattice[0], crystal.frac
    if np.linalg.det(lattice) < 0:
        # edges and angles describe a right-handed cell: -lattice with -frac is the same crystal
        frac = -frac + 0.0
    parameters = parameters_of(lattice)
    lines = [f"data_{title}"]
    if title != name:
        lines.append(f"{OWN_ID} {quoted(name)}")
    lines.append("_symmetry_space_group_name_H-M 'P 1'")
    lines += [f"_cell_{t} {v!r}" for t, v in zip(_CELL, parameters, strict=True)]
    lines += [
        "_symmetry_Int_Tables_number 1",
        f"_chemical_formula_structural {quoted(reduced)}",
        f"_chemical_formula_sum {quoted(_spaced(formula))}",
        f"_cell_volume {float(abs(np.linalg.det(lattice)))!r}",
        "loop_",
        " _symmetry_equiv_pos_site_id",
        " _symmetry_equiv_pos_as_xyz",
        "  1 'x, y, z'",
    ]
    types, rows = _site_rows(crystal, frac.tolist())
    if any(state is not None for state in types.values()):
        lines += ["loop_", " _atom_type_symbol", " _atom_type_oxidation_number"]
        lines += [f"  {t} {'?' if s is None else repr(s)}" for t, s in types.items()]
    lines += ["loop_", *(f" _atom_site_{tag}" for tag in _SITES), *rows]
    return "\n".join(lines) + "\n"


def _spaced(formula: str) -> str:
    return re.sub(r"(?<=[\w.)])(?=[A-Z(])", " ", formula)


def _site_rows(
    crystal: Crystals, frac: list[list[float]]
) -> tuple[dict[str, float | None], list[str]]:
    """Types of atoms with their states, and a line for each occupant of each site."""
    states = crystal.site_columns.get("oxidation_state")
    labels = _labels(crystal)
    table = crystal.occupancy
    types: dict[str, float | None] = {}
    rows: list[str] = []
    for site, position in enumerate(frac):
        occupants, fractions = [int(crystal.numbers[site])], [1.0]
        if table is not None:
            part = slice(int(table.offsets[site]), int(table.offsets[site + 1]))
            occupants = table.occupants[part].tolist()
            fractions = table.fractions[part].tolist()
        state = None if states is None or np.isnan(states[site]) else float(states[site])
        x, y, z = (repr(coordinate) for coordinate in position)
        for place, (number, share) in enumerate(zip(occupants, fractions, strict=True)):
            kind = _type_symbol(SYMBOLS[number], state)
            types[kind] = state
            label = f"{SYMBOLS[number]}{site}"
            if labels is not None:
                label = labels[site] if place == 0 else f"{labels[site]}_{place + 1}"
            amount = "1" if share == 1.0 else repr(share)
            rows.append(f"  {kind} {label} 1 {x} {y} {z} {amount}")
    return types, rows


def _type_symbol(symbol: str, state: float | None) -> str:
    if state is None:
        return symbol
    size = np.format_float_positional(abs(state), trim="-")
    return f"{symbol}{size}{'-' if state < 0 else '+'}"


def _labels(crystal: Crystals) -> list[str] | None:
    """The given labels where each atom has its own, as CIF asks."""
    given = crystal.site_columns.get("label")
    if given is None:
        return None
    labels = [str(label) for label in given.tolist()]
    fit = all(re.fullmatch(r"[A-Za-z][^\s'\"#]*", label) for label in labels)
    return labels if fit and len(set(labels)) == len(labels) else None


def quoted(value: Any) -> str:
    """A value in the quotes that it does not hold itself."""
    text = " ".join(str(value).split())
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    return f"\n;{text}\n;"
