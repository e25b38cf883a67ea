r"""A compact, exact and bounded bytes form of a batch, for storage.

Layout: the magic ``MLXTAL1\n``, then one zlib stream that holds a 4-byte length, a JSON header
of that length, and the raw little-endian arrays in the header's order. No code is ever run on
reading, and every size is checked before memory is asked for.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import Columns, is_missing
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import IntegrityError, MaterialabsError

MAGIC = b"MLXTAL1\n"
LARGEST = 1 << 32
"""Bytes; a stream that unpacks to more is refused."""

_DTYPES = {"f": "<f8", "i": "<i8", "b": "|b1", "u": "|u1"}


def encode(crystals: Crystals) -> bytes:
    """Write a batch with all its columns, exactly."""
    arrays: list[NDArray[Any]] = []
    header: dict[str, Any] = {
        "fields": {
            name: _put(arrays, getattr(crystals, name))
            for name in ("lattice", "frac", "numbers", "offsets", "pbc")
        },
        "columns": {name: _put(arrays, c) for name, c in sorted(crystals.columns.items())},
        "site_columns": {
            name: _put(arrays, c) for name, c in sorted(crystals.site_columns.items())
        },
    }
    if crystals.occupancy is not None:
        header["occupancy"] = {
            name: _put(arrays, getattr(crystals.occupancy, name))
            for name in ("offsets", "occupants", "fractions")
        }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    body = b"".join([struct.pack("<I", len(text)), text, *(a.tobytes() for a in arrays)])
    return MAGIC + zlib.compress(body, 6)


def _put_table(arrays: list[NDArray[Any]], table: Columns) -> dict[str, Any]:
    return {name: _put(arrays, column) for name, column in sorted(table.items())}


def _put(arrays: list[NDArray[Any]], values: NDArray[Any]) -> dict[str, Any]:
    if values.dtype.kind == "O":
        return {"objects": [_jsonable(value) for value in values.tolist()]}
    entry: dict[str, Any] = {}
    if isinstance(values, np.ma.MaskedArray):
        entry["missing"] = np.flatnonzero(is_missing(values)).tolist()
        values = values.filled(0)
    dtype = _DTYPES[values.dtype.kind]
    arrays.append(np.ascontiguousarray(values, dtype=dtype))
    return {**entry, "dtype": dtype, "shape": list(values.shape)}


def _jsonable(value: Any) -> Any:
    """Objects as JSON holds them: arrays as lists, numpy numbers as numbers."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def decode(data: bytes) -> Crystals:
    """Read what :func:`encode` wrote; anything else is refused."""
    if not data.startswith(MAGIC):
        raise IntegrityError("These bytes are not a crystal batch.")
    try:
        return _decode(data)
    except (MaterialabsError, ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise IntegrityError(f"This crystal batch is damaged: {error}") from error


def _decode(data: bytes) -> Crystals:
    stream = zlib.decompressobj()
    body = stream.decompress(data[len(MAGIC) :], LARGEST)
    if not stream.eof:
        raise ValueError("the stream is cut short or too large")
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(body[4 : 4 + length])
    reader = _Reader(body, 4 + length)
    fields = {name: reader.take(header["fields"][name]) for name in _FIELDS}
    columns = {name: reader.take(entry) for name, entry in sorted(header["columns"].items())}
    sites = {name: reader.take(entry) for name, entry in sorted(header["site_columns"].items())}
    occupancy = None
    if "occupancy" in header:
        parts = {name: reader.take(header["occupancy"][name]) for name in _OCCUPANCY}
        occupancy = Occupancy(**parts)
    if reader.position != len(body):
        raise ValueError("bytes are left over")
    return Crystals(
        **fields,
        columns=Columns(len(fields["offsets"]) - 1, columns),
        site_columns=Columns(len(fields["frac"]), sites),
        occupancy=occupancy,
    )


_FIELDS = ("lattice", "frac", "numbers", "offsets", "pbc")
_OCCUPANCY = ("offsets", "occupants", "fractions")


class _Reader:
    """Take arrays one after the other from a buffer."""

    def __init__(self, body: bytes, position: int) -> None:
        self.body = body
        self.position = position

    def take(self, entry: dict[str, Any]) -> NDArray[Any]:
        if "objects" in entry:
            column = np.empty(len(entry["objects"]), dtype=object)
            column[:] = entry["objects"]
            return column
        if entry["dtype"] not in _DTYPES.values():
            raise ValueError(f"unknown dtype {entry['dtype']!r}")
        dtype = np.dtype(entry["dtype"])
        shape = tuple(int(size) for size in entry["shape"])
        count = int(np.prod(shape, dtype=object)) if shape else 1
        if min(shape, default=0) < 0 or self.position + count * dtype.itemsize > len(self.body):
            raise ValueError("an array is longer than the bytes there are")
        values = np.frombuffer(self.body, dtype, count, self.position).reshape(shape)
        self.position += count * dtype.itemsize
        if "missing" in entry:
            mask = np.zeros(shape, dtype=bool)
            mask[entry["missing"]] = True
            return np.ma.MaskedArray(values.copy(), mask=mask)
        return values
