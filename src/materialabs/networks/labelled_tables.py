"""A user's own table: crystals or formulas with values to learn, from files of many kinds.

The crystals stand in the table's own file (extended XYZ, JSON, an ASE database, a column ``cif`` or
``structure``), or in other files, joined by id or by order, or there are formulas only.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import ReadReport, read
from materialabs.crystals.files.names import ID_FIELDS, KNOWN, SUFFIX
from materialabs.errors import FileError, FormulaError, InputError

PACKED: Final[dict[str, Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

FORMULAS: Final = (
    "formula", "composition", "reduced_formula", "pretty_formula", "formula_pretty",
    "chemical_formula", "compound", "name",
)  # fmt: skip
"""Names of columns that hold formulas, in the order in which they are looked for."""

CRYSTAL_FIELDS: Final = frozenset(
    {"cif", "structure", "lattice", "cell", "sites", "species", "atoms", "frac", "positions",
     "lattice_mat", "final_structure", "attributes"}
)  # fmt: skip
"""Names of columns that hold crystals, or parts of them."""

MISSING: Final = frozenset({"", "-", "na", "n/a", "nan", "none", "null", "<na>", "missing"})
"""Texts, in lower case, that stand for a value that is not there."""

LARGEST_TEXT: Final = 1 << 30
"""Bytes of a JSON document that is held whole."""

LARGEST_CELL: Final = 1_000_000
"""Characters of a field of a CSV."""

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


def listed(names: Any) -> str:
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


def _joined(rows: list[dict[str, Any]], structures: Any) -> LabelledTable:
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
    kind = _kind(path)
    readers = {
        "csv": _csv_rows, "tsv": _csv_rows, "txt": _csv_rows, "xlsx": _sheet_rows,
        "jsonl": _line_rows, "ndjson": _line_rows, "json": _document_rows,
    }  # fmt: skip
    if kind not in readers:
        raise FileError(f"{path} is not a table: CSV, TSV, XLSX, JSON and JSON lines are read.")
    try:
        rows = list(readers[kind](path))
    except (csv.Error, UnicodeDecodeError, EOFError, zlib.error, lzma.LZMAError, RecursionError,
            gzip.BadGzipFile, json.JSONDecodeError) as error:  # fmt: skip
        raise FileError(f"{path} cannot be read as a table: {error}.") from None
    if not rows:
        raise FileError(f"{path} holds no rows.")
    return rows


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(LARGEST_CELL)
    with _opened(path) as stream:
        first = stream.readline(LARGEST_CELL)
        stream.seek(0)
        separator = max((",", "\t", ";"), key=first.count)
        for row in csv.DictReader(stream, delimiter=separator):
            yield {str(name).strip(): cell for name, cell in row.items() if name is not None}


def _line_rows(path: Path) -> Iterator[dict[str, Any]]:
    with _opened(path) as stream:
        for line in stream:
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise FileError(f"{path} has a line that is not an object with named values.")
                yield row


def _document_rows(path: Path) -> Iterator[dict[str, Any]]:
    with _opened(path) as stream:
        text = stream.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise FileError(f"{path} is too large for one JSON document: write it as JSON lines.")
    document = json.loads(text)
    if isinstance(document, dict) and {"columns", "data"} <= document.keys():
        document = [dict(zip(document["columns"], row, strict=False)) for row in document["data"]]
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise FileError(f"{path} is not a table: a list of objects with named values is read.")
    yield from document


def _sheet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import zipfile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > LARGEST_TEXT:
                raise FileError(f"{path} is too large when unpacked.")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError) as error:
        raise FileError(f"{path} is not an XLSX file.") from error
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        names = [str(cell).strip() if cell is not None else "" for cell in next(rows, ())]
        for row in rows:
            if any(cell is not None for cell in row):
                yield {name: cell for name, cell in zip(names, row, strict=False) if name}
    finally:
        book.close()


def _opened(path: Path) -> Any:
    opener = PACKED.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _kind(path: Path) -> str:
    suffixes = [one.lower() for one in path.suffixes if one.lower() not in PACKED]
    return suffixes[-1].removeprefix(".") if suffixes else ""


def _holds_crystals(path: Path) -> bool:
    """Whether a file holds crystals, by its kind and, for tables, by its columns."""
    if _kind(path) == "xlsx":
        return False
    if _kind(path) not in ("csv", "tsv", "txt", "json", "jsonl", "ndjson"):
        return True
    try:
        names = {name.lower() for name in _names(read_rows(path)[:50])}
    except FileError:
        return _kind(path) == "json"  # one of the documents that crystals are read from
    return bool(names & CRYSTAL_FIELDS) or "@module" in names


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _turned(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns, texts that stand for nothing as ``None``."""
    return {name: [_cell(row.get(name)) for row in rows] for name in _names(rows)}


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() in MISSING:
        return None
    return value


def _ids(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    for field in ID_FIELDS:
        if all(row.get(field) not in (None, "") for row in rows):
            return tuple(str(row[field]) for row in rows)
    return tuple(str(number) for number in range(1, len(rows) + 1))
