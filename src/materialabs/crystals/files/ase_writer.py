"""Write ASE databases and trajectories, with everything that ASE itself has no place for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.files.ase_json import OWN
from materialabs.crystals.files.names import fields_from
from materialabs.crystals.files.plain import finite, plain, present_rows

if TYPE_CHECKING:
    from ase import Atoms

_ARRAYS: Final = {
    "magnetic_moment": "initial_magmoms",
    "charge": "initial_charges",
    "masses": "masses",
    "tags": "tags",
    "momenta": "momenta",
}
"""Site columns that ASE has a place for in its databases and trajectories."""


def write_database(crystals: Crystals, path: Path) -> None:
    """An ASE database in SQLite."""
    from ase.db import connect

    with connect(path, type="db", append=False) as database:
        for index in range(len(crystals)):
            atoms, own = atoms_of(crystals, index)
            pairs, rest = _pairs(own["columns"])
            database.write(atoms, key_value_pairs=pairs, data={OWN: own | {"columns": rest}})


def write_json_database(crystals: Crystals, path: Path) -> None:
    """An ASE database in JSON, row by row."""
    from ase.db.core import now
    from ase.db.row import AtomsRow
    from ase.io.jsonio import encode

    with path.open("w", encoding="utf-8") as stream:
        stream.write("{")
        for index in range(len(crystals)):
            atoms, own = atoms_of(crystals, index)
            pairs, rest = _pairs(own["columns"])
            row = AtomsRow(atoms)
            document = {
                name: row[name]
                for name in row.__dict__
                if not name.startswith("_") and name != "id"
            }
            document |= {"ctime": now(), "mtime": now(), "key_value_pairs": pairs}
            document["data"] = {OWN: own | {"columns": rest}}
            if row._constraints:
                document["constraints"] = row._constraints
            stream.write(f'"{index + 1}": {encode(document)},\n')
        ids = list(range(1, len(crystals) + 1))
        stream.write(f'"ids": {ids},\n"nextid": {len(crystals) + 1}}}\n')


def write_trajectory(crystals: Crystals, path: Path) -> None:
    """An ASE trajectory."""
    from ase.io.trajectory import TrajectoryWriter

    with TrajectoryWriter(str(path), "w") as trajectory:
        for index in range(len(crystals)):
            atoms, own = atoms_of(crystals, index)
            atoms.info[OWN] = own
            trajectory.write(atoms)


def _pairs(columns: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns that ASE can search, and the rest."""
    from ase.db.core import check

    pairs: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in columns.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                check({name: value})
            pairs[name] = value
        except (ValueError, UserWarning, TypeError):
            rest[name] = value
    return pairs, rest


def atoms_of(crystals: Crystals, index: int) -> tuple[Atoms, dict[str, Any]]:
    """ASE atoms with results and constraints, and the columns that they cannot hold."""
    from ase import Atoms

    start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
    row = {name: finite(plain(value)) for name, value in crystals.columns.row(index).items()}
    columns = {name: value for name, value in row.items() if value is not None}
    atoms = Atoms(
        numbers=crystals.numbers[start:stop],
        positions=crystals.frac[start:stop] @ crystals.lattice[index],
        cell=crystals.lattice[index],
        pbc=crystals.pbc[index],
    )
    results = _results(columns, stop - start)
    sites: dict[str, Any] = {}
    for name, column in crystals.site_columns.items():
        part = column[start:stop]
        if is_missing(part).all():
            continue
        if name == "force" and np.isfinite(part).all():
            results["forces"] = np.array(part)
        elif name == "fixed" and not is_missing(part).any() and np.any(part):
            atoms.set_constraint(_constraints(np.asarray(part, dtype=bool)))
        elif name in _ARRAYS and _fits(name, part):
            atoms.set_array(_ARRAYS[name], np.array(part))
        else:
            sites[name] = present_rows(part)
    if results:
        from ase.calculators.singlepoint import SinglePointCalculator

        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms, {"columns": fields_from(columns), "sites": finite(sites)}


def _results(columns: dict[str, Any], count: int) -> dict[str, Any]:
    """Take out of the columns what ASE keeps as results of a calculation, for the whole cell."""
    results: dict[str, Any] = {}
    if "energy" in columns:
        results["energy"] = columns.pop("energy") * count
    if "magnetization" in columns:
        results["magmom"] = columns.pop("magnetization")
    stress = np.asarray(columns.get("stress", np.zeros(0)), dtype=float)
    if stress.shape == (3, 3) and np.array_equal(stress, stress.T):
        results["stress"] = stress.reshape(9)[[0, 4, 8, 5, 2, 1]]
        columns.pop("stress")
    return results


def _fits(name: str, values: Any) -> bool:
    """ASE's arrays are whole columns of one number, or of three for momenta."""
    if isinstance(values, np.ma.MaskedArray) or values.dtype.kind not in "fi":
        return False
    if name == "tags":
        small = np.abs(values).max(initial=0) < 1 << 31
        return values.dtype.kind == "i" and values.ndim == 1 and bool(small)
    width = values.shape[1:] == (3,) if name == "momenta" else values.ndim == 1
    return bool(width and np.isfinite(values).all())


def _constraints(fixed: Any) -> list[Any]:
    """Atoms held altogether, and atoms held along some of the axes."""
    from ase.constraints import FixAtoms, FixCartesian

    whole = np.flatnonzero(fixed.all(axis=1))
    constraints: list[Any] = [FixAtoms(indices=whole.tolist())] if len(whole) else []
    partly = np.flatnonzero(fixed.any(axis=1) & ~fixed.all(axis=1))
    for mask in np.unique(fixed[partly], axis=0):
        atoms = [int(atom) for atom in partly if np.array_equal(fixed[atom], mask)]
        constraints.append(FixCartesian(atoms, mask=mask.tolist()))
    return constraints
