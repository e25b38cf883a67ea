"""Rows of ASE databases: the JSON form, and what both forms have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.files.cells import completed, fractional
from materialabs.crystals.files.entries import Entry
from materialabs.crystals.files.names import columns_from
from materialabs.errors import FileError

ARRAYS: Final = {
    "initial_magmoms": "magnetic_moment",
    "initial_charges": "charge",
    "masses": "masses",
    "tags": "tags",
    "momenta": "momenta",
}
"""ASE's arrays and our site columns."""

RESULTS: Final = {"forces": "force", "magmoms": "magnetic_moment", "charges": "charge"}
"""ASE's results for each atom and our site columns."""

OWN: Final = "materialabs"
"""Key of ``data`` under which columns stand that ASE has no place for."""

_SKIPPED: Final = frozenset(
    {
        "numbers", "positions", "cell", "pbc", "constraints", "unique_id", "ctime", "mtime",
        "user", "username", "key_value_pairs", "data", "calculator_parameters", "energy",
        "stress", "natoms", "fmax", "smax", "volume", "mass", "charge", "id", "magmom",
        *ARRAYS, *RESULTS,
    }
)  # fmt: skip


def is_database(document: Any) -> bool:
    """True for a whole database: rows by whole numbers, and the list of them."""
    return isinstance(document, dict) and "ids" in document and "nextid" in document


def rows_in(document: dict[str, Any]) -> Iterator[tuple[Any, str, str]]:
    """The rows of a database with their places."""
    try:
        ids = _numbers(document["ids"])
    except (ValueError, TypeError, OverflowError):
        raise FileError("has a list 'ids' that cannot be read") from None
    for number in np.asarray(ids, dtype=object).reshape(-1).tolist():
        row = document.get(str(number))
        yield row, f"row {number}", str(number)


def is_row(document: Any) -> bool:
    """True for one row."""
    return (
        isinstance(document, dict)
        and "numbers" in document
        and "positions" in document
        and ("unique_id" in document or _is_array(document["numbers"]))
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, dict) and "__ndarray__" in value


def entry_from_row(document: dict[str, Any]) -> Entry:
    """Read one row of the JSON form."""
    return entry_from_fields({name: _numbers(value) for name, value in document.items()})


def _numbers(value: Any) -> Any:
    """Undo ASE's JSON forms of arrays; nothing that the file names is ever called."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__ndarray__" in value:
        shape, dtype, flat = value["__ndarray__"]
        if np.dtype(str(dtype)).kind not in "biuf":
            return flat
        return np.array(flat, dtype=str(dtype)).reshape([int(size) for size in shape])
    if value.get("__ase_objtype__") == "cell":
        return _numbers(value.get("array"))
    if "__datetime__" in value:
        return value["__datetime__"]
    return {str(name): _numbers(item) for name, item in value.items()}


def entry_from_fields(row: dict[str, Any]) -> Entry:
    """Make an entry of a row's arrays; energies are eV for the cell, as ASE defines them."""
    positions = np.asarray(row["positions"], dtype=float).reshape(-1, 3)
    given = np.asarray(row.get("cell", np.zeros((3, 3))), dtype=float).reshape(3, 3)
    cell, moved = completed(given, positions)
    numbers = np.asarray(row["numbers"]).reshape(-1).tolist()
    count = max(len(numbers), 1)
    notes: list[str] = []
    data = _object(row.get("data"))
    own = _object(data.get(OWN))
    fields = {name: value for name, value in row.items() if name not in _SKIPPED}
    fields |= {name: value for name, value in data.items() if name != OWN}
    fields |= _object(row.get("key_value_pairs"))
    columns = columns_from(fields, notes) | columns_from(_object(own.get("columns")), notes)
    columns |= _results(row, count)
    if "unique_id" in row:
        columns.setdefault("id", str(row["unique_id"]))
    site_columns = _site_columns(row, len(numbers)) | _object(own.get("sites"))
    return Entry(
        cell,
        fractional(cell, moved),
        numbers,
        _periodicity(row.get("pbc", [False] * 3)),
        columns=columns,
        site_columns=site_columns,
        notes=notes,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _results(row: dict[str, Any], count: int) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if row.get("energy") is not None:
        columns["energy"] = float(row["energy"]) / count
    if row.get("stress") is not None:
        columns["stress"] = full_stress(row["stress"])
    if row.get("magmom") is not None:
        columns["magnetization"] = float(row["magmom"])
    return columns


def _site_columns(row: dict[str, Any], count: int) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {}
    for name, ours in (ARRAYS | RESULTS).items():
        if row.get(name) is not None:
            columns[ours] = np.asarray(row[name])
    fixed = fixed_of(row.get("constraints"), count)
    if fixed is not None:
        columns["fixed"] = fixed
    return columns


def _periodicity(pbc: Any) -> tuple[bool, ...]:
    if isinstance(pbc, (bool, np.bool_)):
        return (bool(pbc),) * 3
    if isinstance(pbc, (int, np.integer)):
        return tuple(bool(int(pbc) & bit) for bit in (1, 2, 4))
    return tuple(bool(one) for one in np.asarray(pbc).reshape(-1).tolist())


def full_stress(values: Any) -> NDArray[np.float64]:
    """ASE's stress, six numbers (xx, yy, zz, yz, xz, xy) or nine, as a tensor [3, 3]."""
    stress = np.asarray(values, dtype=float).reshape(-1)
    if len(stress) == 9:
        return stress.reshape(3, 3)
    if len(stress) != 6:
        raise FileError(f"has a stress of {len(stress)} numbers; six or nine are needed")
    xx, yy, zz, yz, xz, xy = stress.tolist()
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def fixed_of(constraints: Any, count: int) -> NDArray[np.bool_] | None:
    """Which atoms FixAtoms and FixCartesian hold [m, 3]; other constraints are passed over."""
    if not isinstance(constraints, list):
        return None
    fixed = np.zeros((count, 3), dtype=bool)
    for constraint in constraints:
        if not isinstance(constraint, dict):
            continue
        options = constraint.get("kwargs")
        options = options if isinstance(options, dict) else constraint
        name = constraint.get("name")
        chosen = options.get("indices", options.get("a"))
        if chosen is None or name not in ("FixAtoms", "FixCartesian"):
            continue
        atoms = np.asarray(chosen, dtype=int).reshape(-1)
        mask = np.asarray(options.get("mask", [True] * 3), dtype=bool).reshape(-1)
        fixed[atoms] |= mask
    return fixed if fixed.any() else None
