"""Find the crystals in JSON: what each object is, and how objects nest in documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from materialabs.crystals.files import ase_json, json_text, optimade, pymatgen_json, rows
from materialabs.crystals.files.cif import entries_of
from materialabs.crystals.files.cif_text import split_blocks
from materialabs.crystals.files.entries import Entry, Parsed, Refused
from materialabs.crystals.files.names import columns_from
from materialabs.crystals.files.opening import Source
from materialabs.errors import FileError, one_line

DEEPEST: Final = 4
"""Levels of lists and objects that are searched for crystals."""

STRUCTURES: Final = ("structure", "atoms", "final_structure", "crystal", "optimized_structure")
"""Fields that hold a crystal beside its properties."""

_KINDS: Final = (
    "a pymatgen Structure or computed entry, an OPTIMADE answer, an ASE row, or a row with a "
    "cell, species and coordinates"
)


def read_json(source: Source) -> Iterator[Parsed]:
    """A document, a list, or JSON lines, told by how it begins."""
    head = source.head().lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"["):
        found = 0
        for index, element in json_text.elements(source):
            for parsed in entries_in(element, f"element {index + 1}", ""):
                found += 1
                yield parsed
        if not found:
            yield Refused("", "is an empty list")
        return
    if _is_lines(source):
        yield from read_json_lines(source)
        return
    yield from entries_in(json_text.load(source.text()), "", source.stem)


def _is_lines(source: Source) -> bool:
    """The first line is a whole object and a second one begins another."""
    numbered = json_text.lines(source)
    try:
        _, first = next(numbered, (0, ""))
        _, second = next(numbered, (0, ""))
        if not second.lstrip().startswith("{"):
            return False
        json_text.load(first)
    except FileError:
        return False
    return True


def read_json_lines(source: Source) -> Iterator[Parsed]:
    """One crystal on each line; the header of OPTIMADE's JSON lines is passed over."""
    for number, line in json_text.lines(source):
        place = f"line {number}"
        try:
            document = json_text.load(line)
        except FileError as error:
            yield Refused(place, str(error))
            continue
        if _is_header(document):
            continue
        yield from entries_in(document, place, "")


def _is_header(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    if "x-optimade" in document:
        return True
    return "attributes" not in document and document.get("type") in ("info", "references", "meta")


def entries_in(document: Any, place: str, name: str) -> Iterator[Parsed]:
    """Every crystal of a decoded document.

    Parameters
    ----------
    document
        What JSON gave.
    place
        Where it stands in the file.
    name
        Id of a crystal that has none of its own.
    """
    found = False
    for parsed in _search(document, place, name, DEEPEST):
        found = True
        yield parsed
    if found:
        return
    if isinstance(document, dict) and "composition" in document:
        yield Refused(place, pymatgen_json.NO_STRUCTURE)
    else:
        yield Refused(place, f"holds no crystal that is understood: {_KINDS}")


def _search(document: Any, place: str, name: str, depth: int) -> Iterator[Parsed]:
    if not isinstance(document, (dict, list)):
        return
    if isinstance(document, dict) and _is_crystal(document):
        yield from _one(document, place, name)
        return
    if depth == 0:
        return
    for inner, where, key in _members(document):
        yield from _search(inner, f"{place}, {where}" if place else where, key, depth - 1)


def _members(document: Any) -> Iterator[tuple[Any, str, str]]:
    """The parts of a list, table, answer or object: value, place and name of each."""
    if isinstance(document, list):
        yield from ((item, f"element {index + 1}", "") for index, item in enumerate(document))
    elif optimade.is_answer(document):
        data = document["data"]
        items = data if isinstance(data, list) else [data]
        yield from ((item, f"structure {index + 1}", "") for index, item in enumerate(items))
    elif ase_json.is_database(document):
        yield from ase_json.rows_in(document)
    elif isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        yield from _table_rows(document)
    elif any(isinstance(document.get(field), (list, dict)) for field in STRUCTURES):
        yield from _column_rows(document)
    else:
        yield from ((item, f"{key!r}", str(key)) for key, item in document.items())


def _table_rows(document: dict[str, Any]) -> Iterator[tuple[Any, str, str]]:
    """Rows of a table written as its columns' names and a list of rows (pandas 'split')."""
    columns = [str(column) for column in document["columns"]]
    index = document.get("index")
    for number, row in enumerate(document["data"]):
        if not isinstance(row, list):
            continue
        named = isinstance(index, list) and number < len(index)
        key = str(index[number]) if named and index is not None else ""
        yield dict(zip(columns, row, strict=False)), f"row {number + 1}", key


def _column_rows(document: dict[str, Any]) -> Iterator[tuple[Any, str, str]]:
    """Rows of a table written column by column (pandas 'list' or 'dict')."""
    field = next(f for f in STRUCTURES if isinstance(document.get(f), (list, dict)))
    column = document[field]
    keys: list[Any] = list(column) if isinstance(column, dict) else list(range(len(column)))
    alike = {
        name: values
        for name, values in document.items()
        if isinstance(values, type(column)) and len(values) == len(column)
    }
    for place, key in enumerate(keys):
        try:
            row = {name: values[key] for name, values in alike.items()}
        except (KeyError, IndexError):
            row = {field: column[key]}
        yield row, f"row {place + 1}", str(key) if isinstance(column, dict) else ""


def _is_crystal(document: dict[str, Any]) -> bool:
    return (
        pymatgen_json.is_structure(document)
        or pymatgen_json.is_computed_entry(document)
        or optimade.is_resource(document)
        or rows.is_row(document)
        or ase_json.is_row(document)
        or isinstance(document.get("cif"), str)
        or any(_is_nested(document.get(field)) for field in STRUCTURES)
    )


def _is_nested(value: Any) -> bool:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return True
    return pymatgen_json.is_structure(value) or rows.is_row(value)


def _one(document: dict[str, Any], place: str, name: str) -> Iterator[Parsed]:
    """Read one object that is a crystal; whatever is wrong with it becomes its reason."""
    try:
        entry = _entry(document, place)
    except FileError as error:
        yield Refused(place, str(error))
        return
    except KeyError as error:
        yield Refused(place, f"lacks the field {error.args[0]!r}")
        return
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        yield Refused(place, f"cannot be read: {one_line(error, 200)}")
        return
    except RecursionError:
        yield Refused(place, "is nested too deeply")
        return
    entry.place = place
    if name:
        entry.columns.setdefault("id", name)
    yield entry


def _entry(document: dict[str, Any], place: str) -> Entry:
    if pymatgen_json.is_structure(document):
        return pymatgen_json.entry_from_structure(document)
    if pymatgen_json.is_computed_entry(document):
        return pymatgen_json.entry_from_computed(document)
    if optimade.is_resource(document):
        return optimade.entry_from_resource(document)
    if ase_json.is_row(document):
        return ase_json.entry_from_row(document)
    if rows.is_row(document):
        return rows.entry_from_row(document)
    if isinstance(document.get("cif"), str):
        return _with_cif(document, place)
    return _with_nested(document)


def _with_nested(document: dict[str, Any]) -> Entry:
    """A crystal in a field of an object, the other fields being its properties."""
    field = next(f for f in STRUCTURES if _is_nested(document.get(f)))
    inner = document[field]
    if isinstance(inner, str):
        inner = json_text.load(inner)
    if pymatgen_json.is_structure(inner):
        entry = pymatgen_json.entry_from_structure(inner)
    elif rows.is_row(inner):
        entry = rows.entry_from_row(inner)
    else:
        raise FileError(f"has a {field!r} that is not a crystal")
    outer = {name: value for name, value in document.items() if name != field}
    entry.columns |= columns_from(outer, entry.notes)
    return entry


def _with_cif(document: dict[str, Any], place: str) -> Entry:
    """A crystal given as the text of a CIF in the field ``cif``."""
    return entry_from_cif_field(
        document["cif"], {name: value for name, value in document.items() if name != "cif"}
    )


def entry_from_cif_field(text: str, fields: dict[str, Any]) -> Entry:
    """Read a CIF that stands in a table beside other fields.

    Parameters
    ----------
    text
        The CIF.
    fields
        The other fields of the row; an id among them goes before the block's name.
    """
    blocks = split_blocks(text)
    if not blocks:
        raise FileError("has a cif field that holds no data_ block")
    first = next(entries_of(blocks, "", ROW_SITES))
    if isinstance(first, Refused):
        raise FileError(first.reason)
    block = first.columns.pop("id", "")
    first.columns |= columns_from(fields, first.notes)
    if block:
        first.columns.setdefault("id", block)
    return first


ROW_SITES: Final = 100_000
"""Sites that symmetry may make of one row's CIF before the batch checks count them."""
