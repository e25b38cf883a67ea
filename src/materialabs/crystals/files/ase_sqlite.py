"""ASE databases in SQLite (.db), read without running anything that the file holds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.files import ase_json
from materialabs.crystals.files.entries import UNREADABLE, Parsed, Refused
from materialabs.crystals.files.opening import Source
from materialabs.errors import FileError, one_line

_FLOATS: Final = {
    "positions": 3, "cell": 3, "initial_magmoms": 0, "initial_charges": 0, "masses": 0,
    "momenta": 3, "forces": 3, "stress": 0, "magmoms": 0, "charges": 0,
}  # fmt: skip
"""Columns of packed floats, and the length of their rows where they have rows."""

_VALUES: Final = ("id", "unique_id", "pbc", "energy", "magmom", "calculator", "free_energy")
_TEXTS: Final = ("key_value_pairs", "constraints")


def read_ase_sqlite(source: Source) -> Iterator[Parsed]:
    """Every row of the table of systems."""
    with source.plain_path() as path:
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(address, uri=True)
        except sqlite3.Error as error:
            raise FileError(f"cannot be opened as a database: {one_line(error)}") from None
        try:
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, source.limits.entry_bytes)
            yield from _rows(connection)
        except sqlite3.Error as error:
            raise FileError(f"is a damaged database: {one_line(error)}") from None
        finally:
            connection.close()


def _rows(connection: sqlite3.Connection) -> Iterator[Parsed]:
    kind = connection.execute("SELECT type FROM sqlite_master WHERE name='systems'").fetchone()
    if kind is None or kind[0] != "table":
        raise FileError("is a database without ASE's table of systems")
    held = {str(row[1]) for row in connection.execute("PRAGMA table_info(systems)")}
    if not {"id", "numbers", "positions", "cell", "pbc"} <= held:
        raise FileError("is a database whose table of systems is not ASE's")
    names = [n for n in (*_VALUES, "numbers", "tags", *_FLOATS, *_TEXTS, "data") if n in held]
    cursor = connection.execute(f"SELECT {', '.join(names)} FROM systems ORDER BY id")
    for values in cursor:
        row = dict(zip(names, values, strict=True))
        place = f"row {row['id']}"
        try:
            entry = ase_json.entry_from_fields(_unpacked(row))
        except UNREADABLE as error:
            yield Refused.because(place, error)
        else:
            entry.place = place
            yield entry


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: row[name] for name in _VALUES if row.get(name) is not None}
    fields["numbers"] = _array(row["numbers"], "<i4")
    if row.get("tags") is not None:
        fields["tags"] = _array(row["tags"], "<i4").astype(np.int64)
    for name, width in _FLOATS.items():
        if row.get(name) is not None:
            values = _array(row[name], "<f8").astype(np.float64)
            fields[name] = values.reshape(-1, width) if width else values
    for name in _TEXTS:
        if row.get(name):
            fields[name] = ase_json._numbers(json.loads(row[name]))
    if row.get("data"):
        fields["data"] = _data(row["data"])
    return fields


def _array(data: Any, dtype: str) -> NDArray[Any]:
    if not isinstance(data, bytes):
        raise FileError("has a row whose arrays are not bytes")
    return np.frombuffer(data, dtype)


def _data(value: Any) -> Any:
    """Free data of a row: JSON, or since version 9 arrays followed by JSON that cites them."""
    if isinstance(value, str):
        return ase_json._numbers(json.loads(value))
    offset = int(np.frombuffer(value[:8], "<i8")[0])
    if not 8 <= offset <= len(value):
        raise FileError("has damaged data")
    return _cited(json.loads(value[offset:].decode()), value)


def _cited(document: Any, data: bytes) -> Any:
    if isinstance(document, list):
        return [_cited(item, data) for item in document]
    if not isinstance(document, dict):
        return document
    if "__ndarray__" in document:
        shape, name, offset = document["__ndarray__"]
        dtype = np.dtype(str(name))
        if dtype.kind not in "biuf":
            raise FileError(f"has an array of {name!r} in its data")
        count = int(np.prod([int(size) for size in shape], dtype=object))
        return np.frombuffer(data, dtype, count, int(offset)).reshape(shape)
    return {str(key): _cited(item, data) for key, item in document.items()}
