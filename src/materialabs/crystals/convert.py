"""Between :class:`Crystals` and the objects of pymatgen and ASE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.occupancy import Occupancy
from materialabs.elements import SYMBOLS

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

VACUUM = 10.0
"""Angstrom of empty space around a molecule that comes without a cell."""

PYMATGEN_SITE_NAMES = {
    "magmom": "magnetic_moment",
    "charge": "charge",
    "force": "force",
    "forces": "force",
    "velocities": "velocity",
    "selective_dynamics": "movable",
}
"""pymatgen's names of site properties and ours."""


def from_pymatgen(structures: Structure | Sequence[Structure]) -> Crystals:
    """Take pymatgen structures with their site and structure properties."""
    from pymatgen.core import Structure

    batch = [structures] if isinstance(structures, Structure) else list(structures)
    return Crystals.concat([_one_from_pymatgen(structure) for structure in batch])


def _one_from_pymatgen(structure: Structure) -> Crystals:
    occupants: list[int] = []
    fractions: list[float] = []
    sizes: list[int] = []
    states: list[float | None] = []
    for site in structure:
        items = [
            (int(specie.Z), float(share), getattr(specie, "oxi_state", None))
            for specie, share in site.species.items()
            if share > 0
        ]
        occupants += [number for number, _, _ in items]
        fractions += [share for _, share, _ in items]
        sizes.append(len(items))
        known = [state * share for _, share, state in items if state is not None]
        states.append(
            sum(known) / sum(fractions[-len(items) :]) if len(known) == len(items) else None
        )
    occupancy = Occupancy(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array(occupants, dtype=np.uint8),
        np.array(fractions),
    )
    site_columns: dict[str, Any] = {
        PYMATGEN_SITE_NAMES.get(name, name): list(values)
        for name, values in structure.site_properties.items()
    }
    if any(state is not None for state in states):
        site_columns["oxidation_state"] = np.array(
            [np.nan if state is None else state for state in states]
        )
    labels = [site.label for site in structure]
    if labels != [site.species_string for site in structure]:
        site_columns["label"] = labels
    columns: dict[str, Any] = {
        name: [value] for name, value in (structure.properties or {}).items()
    }
    if structure._charge is not None:
        columns["charge"] = [float(structure._charge)]
    return Crystals(
        structure.lattice.matrix[None],
        structure.frac_coords,
        occupancy.majority(),
        np.array([0, len(structure)]),
        np.array([structure.lattice.pbc]),
        columns=columns,  # type: ignore[arg-type]
        site_columns=site_columns,  # type: ignore[arg-type]
        occupancy=occupancy if occupancy.partial().any() else None,
    )


def to_pymatgen(crystals: Crystals) -> list[Structure]:
    """One pymatgen ``Structure`` for each crystal."""
    return [_one_to_pymatgen(crystals, index) for index in range(len(crystals))]


def _one_to_pymatgen(crystals: Crystals, index: int) -> Structure:
    from pymatgen.core import Lattice, Structure

    start, stop = crystals.offsets[index], crystals.offsets[index + 1]
    columns = crystals.columns.row(index)
    charge = columns.pop("charge", None)
    names = {ours: theirs for theirs, ours in reversed(PYMATGEN_SITE_NAMES.items())}
    properties = {
        names.get(name, name): _present(column[start:stop])
        for name, column in crystals.site_columns.items()
        if name not in ("oxidation_state", "label") and not is_missing(column[start:stop]).all()
    }
    labels = crystals.site_columns.get("label")
    return Structure(
        Lattice(crystals.lattice[index].copy(), pbc=tuple(crystals.pbc[index].tolist())),
        _species(crystals, index),
        crystals.frac[start:stop].copy(),
        site_properties=properties or None,
        charge=None if charge is None else float(charge),
        properties={name: _plain(value) for name, value in columns.items()},
        labels=None if labels is None else labels[start:stop].tolist(),
    )


def _species(crystals: Crystals, index: int) -> list[Any]:
    from pymatgen.core import Species

    start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
    states = crystals.site_columns.get("oxidation_state")
    table = crystals.occupancy
    species: list[Any] = []
    for site in range(start, stop):
        state = np.nan if states is None else float(states[site])
        if table is None:
            shares = {int(crystals.numbers[site]): 1.0}
        else:
            a, b = table.offsets[site], table.offsets[site + 1]
            shares = dict(
                zip(table.occupants[a:b].tolist(), table.fractions[a:b].tolist(), strict=True)
            )
        decorated = len(shares) == 1 and np.isfinite(state)
        species.append(
            {
                (Species(SYMBOLS[number], state) if decorated else SYMBOLS[number]): share
                for number, share in shares.items()
            }
        )
    return species


def from_ase(atoms: Atoms | Sequence[Atoms]) -> Crystals:
    """Take ASE atoms with their arrays and, where there is a calculator, its results."""
    from ase import Atoms

    batch = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    return Crystals.concat([_one_from_ase(one) for one in batch])


ASE_ARRAYS = {"initial_magmoms": "magnetic_moment", "initial_charges": "charge"}
"""ASE's names of per-atom arrays and ours."""

ASE_RESULTS = {"forces": "force", "magmoms": "magnetic_moment", "charges": "charge"}
"""ASE calculators' names of per-atom results and ours."""


def _one_from_ase(atoms: Atoms) -> Crystals:
    lattice, origin = _cell_of(atoms)
    positions = atoms.get_positions() - origin
    site_columns: dict[str, Any] = {
        ASE_ARRAYS.get(name, name): values
        for name, values in atoms.arrays.items()
        if name not in ("numbers", "positions")
    }
    info = {name: [value] for name, value in atoms.info.items() if name != "occupancy"}
    results = {} if atoms.calc is None else dict(atoms.calc.results)
    for name, ours in ASE_RESULTS.items():
        if name in results:
            site_columns[ours] = np.asarray(results[name])
    if "energy" in results:
        info["energy"] = [float(results["energy"]) / max(len(atoms), 1)]
    if "stress" in results:
        info["stress"] = [_full_stress(np.asarray(results["stress"], dtype=float))]
    return Crystals(
        lattice[None],
        np.linalg.solve(lattice.T, positions.T).T,
        atoms.get_atomic_numbers(),
        np.array([0, len(atoms)]),
        np.array([atoms.get_pbc()]),
        columns=info,  # type: ignore[arg-type]
        site_columns=site_columns,  # type: ignore[arg-type]
    )


def _full_stress(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voigt order xx,yy,zz,yz,xz,xy to a symmetric [3,3]."""
    if stress.shape == (3, 3):
        return stress
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _cell_of(atoms: Atoms) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Complete the cell along directions that have none; give it and the origin used then."""
    cell = np.array(atoms.cell.array, dtype=float)
    missing = np.linalg.norm(cell, axis=1) < 1e-8
    if not missing.any():
        return cell, np.zeros(3)
    positions = atoms.get_positions()
    completed = np.asarray(atoms.cell.complete().array, dtype=float).copy()
    extent = np.ptp(positions, axis=0).max() if len(atoms) else 0.0
    completed[missing] *= extent + 2 * VACUUM
    origin = np.zeros(3)
    if missing.all() and len(atoms):
        origin = positions.min(axis=0) - VACUUM
    return completed, origin


def to_ase(crystals: Crystals) -> list[Atoms]:
    """One ASE ``Atoms`` for each crystal, with site columns as arrays and columns as info."""
    crystals.require_order("Writing ASE atoms")
    return [_one_to_ase(crystals, index) for index in range(len(crystals))]


def _one_to_ase(crystals: Crystals, index: int) -> Atoms:
    from ase import Atoms

    start, stop = crystals.offsets[index], crystals.offsets[index + 1]
    atoms = Atoms(
        numbers=crystals.numbers[start:stop],
        scaled_positions=crystals.frac[start:stop],
        cell=crystals.lattice[index],
        pbc=crystals.pbc[index],
        info={name: _plain(value) for name, value in crystals.columns.row(index).items()},
    )
    names = {ours: theirs for theirs, ours in ASE_ARRAYS.items()}
    for name, column in crystals.site_columns.items():
        values = column[start:stop]
        if not is_missing(values).all():
            kept = np.array(_present(values)) if values.dtype.kind == "O" else np.asarray(values)
            atoms.set_array(names.get(name, name), kept)
    return atoms


def _present(values: NDArray[Any]) -> list[Any]:
    missing = is_missing(values)
    return [None if gone else value for value, gone in zip(values.tolist(), missing, strict=True)]


def _plain(value: Any) -> Any:
    return cast("Any", value).item() if isinstance(value, np.generic) else value
