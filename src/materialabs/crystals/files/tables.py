"""Tables as comma-separated values with a column of CIFs or of JSON structures."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, Final

from materialabs.crystals.files.entries import UNREADABLE, Entry, Parsed, Refused
from materialabs.crystals.files.json_objects import STRUCTURES, entries_in, entry_from_cif_field
from materialabs.crystals.files.names import ID_FIELDS
from materialabs.crystals.files.opening import Source
from materialabs.errors import FileError, one_line

_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})")
_REAL: Final = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_MISSING: Final = frozenset({"", "nan", "NaN", "NA", "None", "null", "<NA>"})
_SEPARATORS: Final = (",", "\t", ";")


def read_table(source: Source) -> Iterator[Parsed]:
    """Each row whose column ``cif`` or ``structure`` holds a crystal."""
    csv.field_size_limit(source.limits.entry_bytes)
    lines = source.lines()
    header = next(lines, "")
    separator = max(_SEPARATORS, key=header.count)
    try:
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    except csv.Error as error:
        raise FileError(f"is not a readable table: {one_line(error)}") from None
    field = next((name for name in ("cif", *STRUCTURES) if name in names), None)
    if field is None:
        raise FileError(
            f"is a table without a column 'cif' or 'structure'; it has {', '.join(names)[:120]}"
        )
    rows = csv.reader((line + "\n" for line in lines), delimiter=separator)
    number = 1
    while True:
        number += 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise FileError(
                f"is not a readable table after row {number - 1}: {one_line(error)}"
            ) from None
        if cells is None:
            return
        if cells:
            yield _row(dict(zip(names, cells, strict=False)), field, f"row {number}")


def _row(cells: dict[str, str], field: str, place: str) -> Parsed:
    text = cells.pop(field, "")
    fields = {
        name: cell if name in ID_FIELDS else value_of(cell) for name, cell in cells.items() if name
    }
    if not text.strip():
        return Refused(place, f"has an empty {field!r}")
    try:
        parsed = _crystal(text, field, fields, place)
    except UNREADABLE as error:
        return Refused.because(place, error)
    if isinstance(parsed, Entry):
        parsed.place = place
    return parsed


def _crystal(text: str, field: str, fields: dict[str, Any], place: str) -> Parsed:
    if field == "cif" or not text.lstrip().startswith("{"):
        return entry_from_cif_field(text, fields)
    return next(entries_in({**fields, "structure": text}, place, ""))


def value_of(text: str) -> Any:
    """A whole number, a number, a truth value, nothing, or the text itself."""
    word = text.strip()
    if word in _MISSING:
        return None
    if _INTEGER.fullmatch(word):
        return int(word)
    if _REAL.fullmatch(word):
        return float(word)
    if word in ("True", "False"):
        return word == "True"
    return text
