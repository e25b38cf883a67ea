"""Between :class:`Crystals` and the objects of pymatgen and ASE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import SMALLEST_VOLUME, Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.occupancy import Occupancy
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

VACUUM = 10.0
"""Angstrom of empty space around a molecule that comes without a cell."""

NO_VECTOR = 1e-8
"""Angstrom; a cell vector below this length is absent, as ASE writes open directions."""

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
    from pymatgen.core import IStructure

    batch = [structures] if isinstance(structures, IStructure) else list(structures)
    for structure in batch:
        if not isinstance(structure, IStructure):
            raise InputError(f"A pymatgen Structure is needed, not {type(structure).__name__}.")
    return Crystals.concat([_one_from_pymatgen(structure) for structure in batch])


def _one_from_pymatgen(structure: Structure) -> Crystals:
    occupancy = _occupancy_of(structure)
    site_columns: dict[str, Any] = {}
    for name, values in structure.site_properties.items():
        if name == "selective_dynamics":
            movable = [[True] * 3 if flags is None else flags for flags in values]
            site_columns["fixed"] = ~np.array(movable, dtype=bool)
        else:
            site_columns[PYMATGEN_SITE_NAMES.get(name, name)] = list(values)
    states = [_mean_state(site) for site in structure]
    if any(state is not None for state in states):
        site_columns["oxidation_state"] = _floats(states)
    spins = [_mean_spin(site) for site in structure]
    if any(spin is not None for spin in spins):
        site_columns.setdefault("magnetic_moment", _floats(spins))
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


def _occupancy_of(structure: Structure) -> Occupancy:
    occupants: list[int] = []
    fractions: list[float] = []
    sizes: list[int] = []
    for site in structure:
        items = [(specie, float(share)) for specie, share in site.species.items() if share > 0]
        sizes.append(len(items))
        occupants += [_number_of(specie) for specie, _ in items]
        fractions += [share for _, share in items]
    return Occupancy(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array(occupants, dtype=np.uint8),
        np.array(fractions, dtype=np.float64),
    )


def _number_of(specie: Any) -> int:
    number = int(specie.Z)
    if not 1 <= number < len(SYMBOLS):
        raise InputError(
            f"{specie} is not an element: replace it before reading the structure.",
            code="crystal.unknown_element",
        )
    return number


def _mean_state(site: Any) -> float | None:
    """Oxidation state of a site; the mean over its occupants where all have one."""
    items = [(getattr(specie, "oxi_state", None), share) for specie, share in site.species.items()]
    if not items or any(state is None for state, _ in items):
        return None
    return float(sum(state * share for state, share in items) / sum(share for _, share in items))


def _mean_spin(site: Any) -> float | None:
    """Spin of a site in Bohr magnetons, in the sense of pymatgen's ``Species``."""
    spins = [getattr(specie, "spin", None) for specie in site.species]
    if len(spins) != 1 or spins[0] is None:
        return None
    return float(spins[0])


def _floats(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])


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
        if name not in ("oxidation_state", "label", "fixed")
        and not is_missing(column[start:stop]).all()
    }
    fixed = _fixed_rows(crystals, start, stop)
    if fixed is not None:
        properties["selective_dynamics"] = (~fixed).tolist()
    labels = crystals.site_columns.get("label")
    return Structure(
        Lattice(crystals.lattice[index].copy(), pbc=tuple(crystals.pbc[index].tolist())),
        _species(crystals, index),
        crystals.frac[start:stop].copy(),
        site_properties=properties or None,
        charge=None if charge is None else float(charge),
        properties={name: _listed(value) for name, value in columns.items()},
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
    for one in batch:
        if not isinstance(one, Atoms):
            raise InputError(f"ASE Atoms are needed, not {type(one).__name__}.")
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
    fixed = _held_atoms(atoms)
    if fixed is not None:
        site_columns["fixed"] = fixed
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
    missing = np.linalg.norm(cell, axis=1) < NO_VECTOR
    if not missing.any():
        if abs(np.linalg.det(cell)) < SMALLEST_VOLUME:
            raise InputError("The cell of these atoms has no volume.", code="crystal.no_volume")
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
        if name != "fixed" and not is_missing(values).all():
            atoms.set_array(names.get(name, name), _filled(values))
    fixed = _fixed_rows(crystals, start, stop)
    if fixed is not None:
        atoms.set_constraint(_constraints(fixed))
    return atoms


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    """A plain array: missing whole numbers and truth values become NaN, never zero."""
    if values.dtype.kind == "O":
        return np.array(_present(values))
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        return np.where(mask, np.nan, values.data) if mask.any() else values.data
    return np.asarray(values)


def _fixed_rows(crystals: Crystals, start: int, stop: int) -> NDArray[np.bool_] | None:
    """Which atoms of one crystal are held [m, 3], or nothing when none is."""
    column = crystals.site_columns.get("fixed")
    if column is None or column.dtype.kind != "b" or column.shape[1:] != (3,):
        return None
    fixed = np.asarray(np.ma.filled(column[start:stop], False))
    return fixed if fixed.any() else None


def _held_atoms(atoms: Atoms) -> NDArray[np.bool_] | None:
    """Which atoms FixAtoms and FixCartesian hold [m, 3]; other constraints are passed over."""
    from ase.constraints import FixAtoms, FixCartesian

    fixed = np.zeros((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            fixed[constraint.get_indices()] = True
        elif isinstance(constraint, FixCartesian):
            fixed[constraint.get_indices()] |= np.asarray(constraint.mask, dtype=bool)
    return fixed if fixed.any() else None


def _constraints(fixed: NDArray[np.bool_]) -> list[Any]:
    """ASE's constraints for atoms held altogether or along some axes [m, 3]."""
    from ase.constraints import FixAtoms, FixCartesian

    constraints: list[Any] = []
    for mask in np.unique(fixed[fixed.any(axis=1)], axis=0):
        held = np.flatnonzero((fixed == mask).all(axis=1)).tolist()
        constraints.append(FixAtoms(held) if mask.all() else FixCartesian(held, mask.tolist()))
    return constraints


def _present(values: NDArray[Any]) -> list[Any]:
    missing = is_missing(values)
    return [None if gone else value for value, gone in zip(values.tolist(), missing, strict=True)]


def _plain(value: Any) -> Any:
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else _plain(value)
