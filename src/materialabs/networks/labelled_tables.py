"""A user's own table: crystals or formulas with values to learn, from files of many kinds.

The crystals stand in the table's own file (extended XYZ, JSON, an ASE database, a column ``cif`` or
``structure``), or in other files, joined by id or by order, or there are formulas only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import ReadReport, read
from materialabs.crystals.files.named_rows import (
    ENDINGS,
    WORKBOOK,
    holds_crystals,
    is_gap,
    kind_of,
    named_rows,
)
from materialabs.crystals.files.named_rows import MISSING as MISSING
from materialabs.crystals.files.names import ID_FIELDS, KNOWN, SUFFIX
from materialabs.errors import FileError, FormulaError, InputError

FORMULAS: Final = (
    "formula", "composition", "reduced_formula", "pretty_formula", "formula_pretty",
    "chemical_formula", "compound", "name",
)  # fmt: skip
"""Names of columns that hold formulas, in the order in which they are looked for."""

SHOWN: Final = 12
"""Names of columns that a sentence lists."""


@dataclass(frozen=True, eq=False)
class LabelledTable:
    """Crystals or compositions, and the columns beside them.

    Parameters
    ----------
    inputs
        Crystals, or compositions where the table holds formulas only.
    columns
        Values by name, one for each row; ``None`` where one is missing.
    ids
        What each row is called.
    notes
        What was left out, in sentences.
    """

    inputs: Crystals | Compositions
    columns: dict[str, list[Any]]
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> list[Any]:
        """The values of one column; names that readers of crystals translate are found too."""
        for known in (name, KNOWN.get(name, name), name + SUFFIX):
            if known in self.columns:
                return self.columns[known]
        raise InputError(
            f"The table has no column {name!r}; it has {listed(self.columns)}.",
            code="table.no_column",
        )


def read_labelled(
    table: str | Path, structures: str | Path | Sequence[str] | None = None,
    *, formula: str | None = None,
) -> LabelledTable:  # fmt: skip
    """Read a table with its crystals or formulas.

    Parameters
    ----------
    table
        CSV, TSV, XLSX, JSON, JSON lines, or any file that crystals are read from.
    structures
        Files of the crystals, where they are not in the table. They are joined by id where both
        have ids, otherwise by their order.
    formula
        The column that holds formulas, where it has no usual name.
    """
    path = Path(table)
    if not path.is_file():
        raise FileError(f"There is no file {path}.")
    if structures is not None:
        return _joined(read_rows(path), structures)
    if formula is None and _holds_crystals(path):
        return _own_crystals(path)
    return _formulas(read_rows(path), formula)


def listed(names: Collection[str]) -> str:
    """Names in a sentence, the first few."""
    shown = [repr(name) for name in list(names)[:SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


# -- where the crystals are -----------------------------------------------------------------------


def _own_crystals(path: Path) -> LabelledTable:
    report = ReadReport()
    crystals = read(str(path), report=report, progress=False)
    notes = (report.sentence(),) if report.entries else ()
    return LabelledTable(crystals, _columns_of(crystals), tuple(crystals.ids()), notes)


def _columns_of(crystals: Crystals) -> dict[str, list[Any]]:
    columns = {}
    for name in crystals.columns:
        column = crystals.columns[name]
        if column.ndim == 1:
            gone = is_missing(column).tolist()
            values = np.ma.getdata(column).tolist()
            columns[name] = [
                None if away else one for one, away in zip(values, gone, strict=True)
            ]  # fmt: skip
    return columns


def _formulas(rows: list[dict[str, Any]], formula: str | None) -> LabelledTable:
    names = _names(rows)
    lower = {name.lower(): name for name in reversed(names)}
    wanted = formula or next((lower[one] for one in FORMULAS if one in lower), None)
    if wanted is None or wanted not in names:
        raise InputError(
            f"The table has no column {wanted or 'formula'!r} and no crystals; it has "
            f"{listed(names)}: name the column of formulas, or give the structures.",
            code="table.no_formula",
        )
    kept, compositions, wrong = [], [], ""
    for number, row in enumerate(rows, 1):
        try:
            compositions.append(Compositions.parse([str(row.get(wanted) or "")]))
            kept.append(row)
        except FormulaError as error:
            wrong = wrong or f"row {number}: {error}"
    if not kept:
        raise InputError(f"No row of the table has a formula that can be read ({wrong})")
    left = len(rows) - len(kept)
    notes = (f"{left} rows without a readable formula are left out ({wrong})",) if left else ()
    return LabelledTable(Compositions.concat(compositions), _turned(kept), _ids(kept), notes)


def _joined(rows: list[dict[str, Any]], structures: str | Path | Sequence[str]) -> LabelledTable:
    """Rows of a table beside the crystals of other files."""
    report = ReadReport()
    paths = [str(structures)] if isinstance(structures, (str, Path)) else list(structures)
    crystals = read(paths, report=report, progress=False)
    notes = [report.sentence()] if report.entries else []
    pairs = _pairs_by_id(rows, crystals)
    if not pairs:
        if len(rows) != len(crystals) or report.entries:
            raise InputError(
                f"The table has {len(rows)} rows and the files hold {len(crystals)} crystals, and "
                f"no id is in both: give both a column of ids ({', '.join(ID_FIELDS[:4])}, ...).",
                code="table.not_joined",
            )
        pairs = [(row, row) for row in range(len(rows))]
    if len(pairs) < len(rows):
        notes.append(f"{len(rows) - len(pairs)} rows of the table have no crystal and are left out")
    chosen = [rows[row] for row, _ in pairs]
    batch = crystals.take(np.array([place for _, place in pairs], dtype=np.int64))
    own = {name: values for name, values in _columns_of(batch).items() if name != "id"}
    return LabelledTable(batch, own | _turned(chosen), tuple(batch.ids()), tuple(notes))


def _pairs_by_id(rows: list[dict[str, Any]], crystals: Crystals) -> list[tuple[int, int]]:
    """Rows of the table and of the crystals with the same id; ids that repeat are refused."""
    places = {name: place for place, name in enumerate(crystals.ids())}
    best: list[tuple[int, int]] = []
    for field in dict.fromkeys((*ID_FIELDS, *_names(rows))):
        pairs = [
            (number, places[str(row[field])])
            for number, row in enumerate(rows)
            if row.get(field) is not None and str(row[field]) in places
        ]
        if len(pairs) > len(best):
            best = pairs
        if field in ID_FIELDS and len(best) == len(rows):
            break
    used = [place for _, place in best]
    if len(set(used)) < len(used) or (len(places) < len(crystals) and best):
        raise InputError(
            "An id occurs more than once, so that rows and crystals cannot be joined: make ids "
            "unique.",
            code="table.not_joined",
        )
    return best


# -- reading rows ---------------------------------------------------------------------------------


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a table as names and values."""
    rows = [row for _, row in named_rows(path)]
    if not rows:
        raise FileError(f"{path} holds no rows.")
    return rows


def _holds_crystals(path: Path) -> bool:
    """Whether a file holds crystals, by its kind and, for tables, by its columns."""
    kind = kind_of(path)
    return kind not in ENDINGS or (kind != WORKBOOK and holds_crystals(path))


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _turned(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns, texts that stand for nothing as ``None``."""
    return {
        name: [None if is_gap(row.get(name)) else row[name] for row in rows]
        for name in _names(rows)
    }


def _ids(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    for field in ID_FIELDS:
        if all(row.get(field) not in (None, "") for row in rows):
            return tuple(str(row[field]) for row in rows)
    return tuple(str(number) for number in range(1, len(rows) + 1))
