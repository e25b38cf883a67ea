"""Named columns that travel with a batch: one value for each crystal, or for each atom.

Known names have a dtype, a unit and a meaning in :data:`REGISTRY`; unknown names are kept and
survive a round trip. A missing float is NaN, a missing text or object is ``None``, a missing
whole number or truth value is masked; nothing missing is ever zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError

Column = NDArray[Any]


@dataclass(frozen=True)
class ColumnKind:
    """What a registered column holds."""

    dtype: str
    unit: str
    meaning: str
    shape: tuple[int, ...] = ()


CRYSTAL_COLUMNS: Final[dict[str, ColumnKind]] = {
    "id": ColumnKind("text", "", "identifier given by the source"),
    "source": ColumnKind("text", "", "file or database, and the entry's place in it"),
    "charge": ColumnKind("float", "e", "total charge of the cell"),
    "parent": ColumnKind("text", "", "id of the crystal that this one was made from"),
    "energy": ColumnKind("float", "eV/atom", "total energy"),
    "formation_energy": ColumnKind("float", "eV/atom", "formation energy"),
    "correction": ColumnKind("float", "eV/atom", "energy correction, not yet in energy"),
    "band_gap": ColumnKind("float", "eV", "band gap"),
    "stress": ColumnKind("float", "eV/angstrom^3", "stress, positive under tension", (3, 3)),
    "magnetization": ColumnKind("float", "Bohr magneton", "total moment of the cell"),
    "space_group": ColumnKind("int", "", "space-group number given by the source"),
    "probability": ColumnKind("float", "", "substitution probability"),
    "volume_factor": ColumnKind("float", "", "volume over the estimate"),
    "substitution": ColumnKind("text", "", "ions that took the place of which others"),
    "generator": ColumnKind("text", "", "kind of generator that made the crystal"),
    "ordering_error": ColumnKind("float", "", "largest error of a fraction after ordering"),
    "aflow": ColumnKind("text", "", "AFLOW label of a prototype"),
    "strukturbericht": ColumnKind("text", "", "Strukturbericht symbol of a prototype"),
    "mineral": ColumnKind("text", "", "mineral name of a prototype"),
    "pearson": ColumnKind("text", "", "Pearson symbol"),
}
"""Columns with one row for each crystal."""

SITE_COLUMNS: Final[dict[str, ColumnKind]] = {
    "magnetic_moment": ColumnKind("float", "Bohr magneton", "collinear moment"),
    "oxidation_state": ColumnKind("float", "e", "formal oxidation state"),
    "charge": ColumnKind("float", "e", "atomic charge"),
    "force": ColumnKind("float", "eV/angstrom", "force on the atom", (3,)),
    "velocity": ColumnKind("float", "angstrom/fs", "velocity of the atom", (3,)),
    "label": ColumnKind("text", "", "site label"),
    "fixed": ColumnKind("bool", "", "the atom does not move", (3,)),
}
"""Columns with one row for each atom."""


def as_column(values: ArrayLike | Sequence[object], length: int, name: str) -> Column:
    """Turn values into a column of the right length and one of the five kept dtypes.

    Floats stay float64, whole numbers int64, truth values bool (masked arrays where some are
    missing), texts and everything else become an object array.
    """
    column = values if isinstance(values, np.ndarray) else _infer(list(values))  # type: ignore[arg-type]
    if column.dtype.kind == "f":
        column = column.astype(np.float64, copy=False)
    elif column.dtype.kind in "iu":
        column = column.astype(np.int64, copy=False)
    elif column.dtype.kind in "US":
        column = column.astype(object)
    elif column.dtype.kind not in "bO":
        raise InputError(f"Column {name!r} holds {column.dtype}, which is not kept.")
    if len(column) != length:
        raise InputError(f"Column {name!r} has {len(column)} rows where {length} are needed.")
    column.setflags(write=False)
    return column


def _infer(values: list[Any]) -> Column:
    """Choose a dtype by what the present values are, keeping what is missing missing."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if present and kinds <= {bool, np.bool_}:
        return _masked(values, False, np.dtype(bool))
    if present and all(issubclass(kind, (int, np.integer)) for kind in kinds - {bool, np.bool_}):
        if not kinds & {bool, np.bool_}:
            return _masked(values, 0, np.dtype(np.int64))
    elif present and all(
        issubclass(kind, (int, float, np.integer, np.floating)) for kind in kinds - {bool, np.bool_}
    ):
        if not kinds & {bool, np.bool_}:
            return np.array([np.nan if value is None else value for value in values], dtype=float)
    elif present and all(_is_numeric_array(value) for value in present):
        shapes = {np.shape(value) for value in present}
        if len(shapes) == 1:
            blank = np.full(shapes.pop(), np.nan)
            rows = [blank if value is None else np.asarray(value, float) for value in values]
            return np.array(rows, dtype=float)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _is_numeric_array(value: object) -> bool:
    if not isinstance(value, (list, tuple, np.ndarray)) or len(value) == 0:
        return False
    try:
        return np.asarray(value).dtype.kind in "fiu"
    except ValueError:
        return False


def _masked(values: list[Any], filler: object, dtype: np.dtype[Any]) -> Column:
    missing = [value is None for value in values]
    filled = np.array([filler if value is None else value for value in values], dtype=dtype)
    return np.ma.MaskedArray(filled, mask=missing) if any(missing) else filled


def missing_like(column: Column, length: int) -> Column:
    """A column of ``length`` rows like this one in which everything is missing."""
    shape = (length, *column.shape[1:])
    if column.dtype.kind == "f":
        return np.full(shape, np.nan)
    if column.dtype.kind == "O":
        return np.full(shape, None, dtype=object)
    return np.ma.MaskedArray(np.zeros(shape, dtype=column.dtype), mask=True)


def is_missing(column: Column) -> NDArray[np.bool_]:
    """True where a column has no value [n]."""
    if isinstance(column, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(column)
    elif column.dtype.kind == "f":
        mask = np.isnan(column)
    elif column.dtype.kind == "O":
        mask = np.array([value is None for value in column], dtype=bool)
    else:
        mask = np.zeros(column.shape, dtype=bool)
    per_row = mask.reshape(len(column), -1).all(axis=1) if mask.ndim > 1 else mask
    return np.asarray(per_row, dtype=bool)


class Columns(Mapping[str, Column]):
    """An immutable table of named columns of equal length.

    Parameters
    ----------
    length
        Number of rows; kept even when there are no columns.
    columns
        Name to values.
    """

    __slots__ = ("_columns", "_length")

    def __init__(self, length: int, columns: Mapping[str, Any] | None = None) -> None:
        self._length = length
        self._columns = {
            name: as_column(values, length, name) for name, values in (columns or {}).items()
        }

    @property
    def length(self) -> int:
        """Number of rows."""
        return self._length

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Columns({self._length} rows: {', '.join(self._columns) or 'none'})"

    def take(self, rows: NDArray[np.int64]) -> Columns:
        """The chosen rows, in the order given."""
        return Columns(len(rows), {name: column[rows] for name, column in self.items()})

    def with_columns(self, **columns: Any) -> Columns:
        """A table with these columns added or replaced."""
        return Columns(self._length, {**self._columns, **columns})

    def row(self, index: int) -> dict[str, Any]:
        """The values of one row that are not missing."""
        return {
            name: column[index]
            for name, column in self.items()
            if not is_missing(column[index : index + 1])[0]
        }

    @classmethod
    def concat(cls, tables: Sequence[Columns]) -> Columns:
        """Join tables row after row; a name absent from one is missing there."""
        length = sum(table.length for table in tables)
        names = list(dict.fromkeys(name for table in tables for name in table))
        return cls(length, {name: _concat_column(tables, name) for name in names})


def _concat_column(tables: Sequence[Columns], name: str) -> Column:
    like = next(table[name] for table in tables if name in table)
    parts = [table[name] if name in table else missing_like(like, table.length) for table in tables]
    shapes = {part.shape[1:] for part in parts if len(part)}
    kinds = {part.dtype.kind for part in parts if len(part)}
    if len(shapes) > 1 or ("O" in kinds and len(kinds) > 1):
        joined = np.empty(sum(len(part) for part in parts), dtype=object)
        joined[:] = [
            None if missing else value
            for part in parts
            for value, missing in zip(part.tolist(), is_missing(part), strict=True)
        ]
        return joined
    if kinds == {"f", "i"}:
        parts = [_as_float(part) for part in parts]
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        return np.ma.concatenate(parts)  # type: ignore[no-untyped-call, no-any-return]
    return np.concatenate(parts)


def _as_float(column: Column) -> Column:
    values = np.asarray(column, dtype=np.float64).copy()
    values[is_missing(column)] = np.nan
    return values
