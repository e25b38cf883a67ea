r"""A compact, exact and bounded bytes form of a batch, for storage.

Layout: the magic ``MLXTAL1\n``, then one zlib stream that holds a 4-byte length, a JSON header
of that length, and the raw little-endian arrays in the header's order. No code is ever run on
reading, and every size is checked before memory is asked for.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import Columns
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import IntegrityError, MaterialabsError

MAGIC = b"MLXTAL1\n"
LARGEST = 1 << 32
"""Bytes; a stream that unpacks to more is refused."""

HIGHEST_EXPANSION = 1032
"""Deflate never packs more than this many bytes into one (zlib, technical details)."""

_DTYPES = {"f": "<f8", "i": "<i8", "b": "|b1", "u": "|u1"}


def encode(crystals: Crystals) -> bytes:
    """Write a batch with all its columns, exactly."""
    arrays: list[NDArray[Any]] = []
    header: dict[str, Any] = {
        "fields": {
            name: _put(arrays, getattr(crystals, name))
            for name in ("lattice", "frac", "numbers", "offsets", "pbc")
        },
        "columns": _put_table(arrays, crystals.columns),
        "site_columns": _put_table(arrays, crystals.site_columns),
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
        entry["missing"] = np.flatnonzero(np.ma.getmaskarray(values)).tolist()
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
    except _DAMAGE as error:
        raise IntegrityError(f"This crystal batch is damaged: {error}") from error


_DAMAGE = (
    MaterialabsError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
    ValueError, struct.error, zlib.error,
)  # fmt: skip
"""What reading can stumble over when the bytes are not what was written."""


def _decode(data: bytes) -> Crystals:
    header, body = _unpack(data)
    reader = _Reader(body)
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


def _unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header, and the bytes of the arrays, as many as the header says."""
    most = min(HIGHEST_EXPANSION * len(data), LARGEST)
    stream = zlib.decompressobj()
    (length,) = struct.unpack("<I", stream.decompress(data[len(MAGIC) :], 4))
    text = stream.decompress(stream.unconsumed_tail, min(length, most)) if length else b""
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    size = sum(_size(entry) for entry in _entries(header))
    if size > most:
        raise ValueError(f"it speaks of {size:,} bytes, more than these can hold")
    body = stream.decompress(stream.unconsumed_tail, size + 1)
    if len(body) != size or not stream.eof or stream.unused_data:
        raise ValueError("the stream is cut short or too long")
    return header, body


def _entries(header: dict[str, Any]) -> list[dict[str, Any]]:
    tables = [header["fields"], header["columns"], header["site_columns"]]
    tables += [header["occupancy"]] if "occupancy" in header else []
    return [entry for table in tables for entry in table.values()]


def _size(entry: dict[str, Any]) -> int:
    """Bytes of one array."""
    if "objects" in entry:
        return 0
    if entry["dtype"] not in _DTYPES.values():
        raise ValueError(f"unknown dtype {entry['dtype']!r}")
    if any(not isinstance(extent, int) or extent < 0 for extent in entry["shape"]):
        raise ValueError("a shape is not made of sizes")
    return int(math.prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize)


_FIELDS = ("lattice", "frac", "numbers", "offsets", "pbc")
_OCCUPANCY = ("offsets", "occupants", "fractions")


class _Reader:
    """Take arrays one after the other from a buffer."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.position = 0

    def take(self, entry: dict[str, Any]) -> NDArray[Any]:
        if "objects" in entry:
            column = np.empty(len(entry["objects"]), dtype=object)
            column[:] = entry["objects"]
            return column
        size = _size(entry)
        part = self.body[self.position : self.position + size]
        self.position += size
        if entry["dtype"] == _DTYPES["b"] and part.strip(b"\x00\x01"):
            raise ValueError("a truth value is neither true nor false")
        values = np.frombuffer(part, entry["dtype"]).reshape(entry["shape"])
        return _masked(values, entry["missing"]) if "missing" in entry else values


def _masked(values: NDArray[Any], missing: list[int]) -> NDArray[Any]:
    mask = np.zeros(values.size, dtype=bool)
    if missing and min(missing) < 0:
        raise ValueError("a missing value is nowhere")
    mask[missing] = True
    return np.ma.MaskedArray(values.copy(), mask=mask.reshape(values.shape))
