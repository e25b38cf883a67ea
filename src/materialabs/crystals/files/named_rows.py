"""Tables as rows of named cells: CSV, TSV, XLSX, JSON lines and JSON, packed or not.

CSV and JSON lines are read in constant memory. A JSON document is held whole, and refused above
:data:`LARGEST_DOCUMENT`.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from materialabs.crystals.files.json_objects import STRUCTURES
from materialabs.crystals.files.row_documents import flat, rows_of_document
from materialabs.errors import FileError, InputError, MaterialabsError, ResourceError, one_line

LARGEST_FIELD: Final = 1_000_000
"""Characters in one field, or in one line of JSON; a longer one is not a value."""

LARGEST_DOCUMENT: Final = 1 << 30
"""Bytes, unpacked, of a JSON document or a workbook."""

HEAD: Final = 1 << 16
"""Characters of a file that tell its encoding and whether it holds crystals."""

GUESS_ROWS: Final = 200
"""Rows that are looked at to tell what a column holds."""

TEXTS, LINES, DOCUMENT, WORKBOOK = ("csv", "tsv", "txt"), ("jsonl", "ndjson"), "json", "xlsx"
ENDINGS: Final = (*TEXTS, *LINES, DOCUMENT, WORKBOOK)
"""Endings of the names of tables."""

SEPARATORS: Final = (",", "\t", ";", "|")

MISSING: Final = frozenset({"", "-", "na", "n/a", "nan", "none", "null", "<na>", "missing"})
"""Texts, in lower case, that stand for a value that is not there."""

CRYSTAL_FIELDS: Final = frozenset(
    {"cif", "structure", "lattice", "cell", "sites", "species", "attributes", "atoms", "frac",
     "lattice_mat", "positions", "final_structure", "@module", "x-optimade"}
)  # fmt: skip
"""Names in JSON that only crystals have."""

_PACKED: Final[dict[str, Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_NAME: Final = re.compile(r'"([\w@-]+)"\s*:')


def kind_of(path: Path) -> str:
    """The ending of a file's name, without that of a packer, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _PACKED]
    return suffixes[-1].removeprefix(".") if suffixes else ""


def is_gap(cell: Any) -> bool:
    """Whether a cell is empty or says that there is no value."""
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def named_rows(path: Path, sheet: str = "") -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their numbers in the file; rows without any value are passed over.

    Parameters
    ----------
    path
        The file; its name tells the kind. The header of a CSV or of a sheet is row 1.
    sheet
        Of a workbook; its first sheet where it is empty.
    """
    headers: list[str] | None = None
    for number, row in _raw_rows(path, sheet):
        if isinstance(row, dict):
            yield number, row
        elif headers is None:
            headers = _distinct(row)
        elif not all(map(is_gap, row)):
            cells = itertools.zip_longest(headers, row[: len(headers)])
            yield number, {name: cell for name, cell in cells if name}


def headers_of(path: Path, sheet: str = "") -> list[str]:
    """Names of the columns; in JSON, of those that the first rows have."""
    names: dict[str, None] = {}
    for _, row in itertools.islice(_raw_rows(path, sheet), GUESS_ROWS):
        if not isinstance(row, dict):
            return _distinct(row)
        names |= dict.fromkeys(row)
    return list(names)


def holds_crystals(path: Path, sheet: str = "") -> bool:
    """Whether a table has a column of crystals rather than of formulas only."""
    if kind_of(path) in (*LINES, DOCUMENT):
        return _names_crystals(path)
    headers = headers_of(path, sheet)
    if "cif" in map(str.lower, headers):
        return True
    columns = [name for name in STRUCTURES if name in headers]
    if not columns:
        return False
    rows = itertools.islice(named_rows(path, sheet), GUESS_ROWS)
    return any(_is_crystal(row[name]) for _, row in rows for name in columns)


def _is_crystal(cell: Any) -> bool:
    """Whether a text is a crystal in JSON or a CIF, and not the name of a structure type."""
    return isinstance(cell, str) and (cell.lstrip().startswith("{") or "data_" in cell)


def _names_crystals(path: Path) -> bool:
    try:
        with _text(path, "utf-8-sig") as stream:
            head = stream.read(HEAD)
    except (OSError, UnicodeDecodeError, EOFError, zlib.error, lzma.LZMAError):
        return True  # the readers of crystals say what is wrong with it
    return not CRYSTAL_FIELDS.isdisjoint(_NAME.findall(head))


def _distinct(cells: list[Any]) -> list[str]:
    """Headers as texts, a repeated one with its count behind it."""
    seen: dict[str, int] = {}
    headers = []
    for cell in cells:
        name = "" if cell is None else " ".join(str(cell).split())
        seen[name] = seen.get(name, 0) + 1
        headers.append(name if seen[name] == 1 or not name else f"{name}.{seen[name]}")
    while headers and not headers[-1]:
        headers.pop()
    return headers


# -- the kinds of files ---------------------------------------------------------------------------


def _raw_rows(path: Path, sheet: str) -> Iterator[tuple[int, Any]]:
    """Lists of cells, the header first, or objects with named values."""
    kind = kind_of(path)
    try:
        if kind in TEXTS:
            yield from _csv_rows(path)
        elif kind == WORKBOOK:
            yield from _sheet_rows(path, sheet)
        elif kind in LINES:
            yield from _line_rows(path)
        elif kind == DOCUMENT:
            yield from _document_rows(path)
        else:
            raise FileError(f"{path} is not a table: CSV, TSV, XLSX, JSON and JSON lines are read.")
    except (csv.Error, UnicodeDecodeError, EOFError, zlib.error, lzma.LZMAError,
            gzip.BadGzipFile) as error:  # fmt: skip
        raise FileError(f"{path} cannot be read as a table: {one_line(error)}.") from error
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        raise ResourceError(f"{path} cannot be read: {error.strerror or error}.") from error


def _text(path: Path, encoding: str) -> io.TextIOWrapper:
    opener = _PACKED.get(path.suffix.lower(), open)
    stream: io.TextIOWrapper = opener(path, "rt", encoding=encoding, newline="")
    return stream


def _encoding(path: Path) -> str:
    """UTF-8, UTF-16 where marked, or else the Windows code page of Western Europe."""
    opener = _PACKED.get(path.suffix.lower(), open)
    with opener(path, "rb") as stream:
        head = stream.read(HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head[: head.rfind(b"\n") + 1].decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LARGEST_FIELD)
    with _text(path, _encoding(path)) as stream:
        first = stream.readline(LARGEST_FIELD)
        stream.seek(0)
        reader = csv.reader(stream, delimiter=max(SEPARATORS, key=first.count))
        for row in reader:
            if row:
                yield reader.line_num, row


def _line_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _text(path, "utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            if len(line) > LARGEST_FIELD:
                raise FileError(f"{path}, line {number}, is longer than {LARGEST_FIELD:,} signs.")
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise FileError(f"{path}, line {number}, is not JSON: {one_line(error)}.") from None
            if not isinstance(row, dict):
                raise FileError(f"{path}, line {number}, is not an object with named values.")
            yield number, flat(row)


def _document_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _text(path, "utf-8-sig") as stream:
        text = stream.read(LARGEST_DOCUMENT + 1)
    if len(text) > LARGEST_DOCUMENT:
        raise FileError(f"{path} is too large for one JSON document: write it as JSON lines.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not JSON: {one_line(error)}.") from None
    rows = rows_of_document(document)
    if rows is None:
        raise FileError(
            f"{path} is not a table: a list of objects, columns with their values, or columns and "
            "rows are read."
        )
    yield from rows


def _sheet_rows(path: Path, sheet: str) -> Iterator[tuple[int, list[Any]]]:
    try:
        yield from _cells_of_sheet(path, sheet)
    except (MaterialabsError, PermissionError):
        raise
    except Exception as error:  # whatever a damaged workbook does to its parsers
        raise FileError(
            f"{path} is not an XLSX file that can be read ({one_line(error)})."
        ) from None


def _cells_of_sheet(path: Path, sheet: str) -> Iterator[tuple[int, list[Any]]]:
    import zipfile

    import openpyxl

    with zipfile.ZipFile(path) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > LARGEST_DOCUMENT:
        raise FileError(f"{path} unpacks to {size:,} bytes; {LARGEST_DOCUMENT:,} are read.")
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        sheets = {one.title: one for one in book.worksheets}
        if not sheets:
            raise FileError(f"{path} has no sheet of cells.")
        if sheet and sheet not in sheets:
            raise InputError(f"{path} has no sheet {sheet!r}; it has {', '.join(sheets)}.")
        found = sheets[sheet] if sheet else book.worksheets[0]
        for number, row in enumerate(found.iter_rows(values_only=True), 1):
            if any(value is not None for value in row):
                yield number, list(row)
    finally:
        book.close()
