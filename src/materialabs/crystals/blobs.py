"""One crystal as a few hundred bytes that name it: equal crystals have equal bytes.

Layout, little-endian: the magic ``MX1``; a byte of flags (bits 0-2 periodic along each vector,
bit 3 partial occupancy, bit 4 site columns); the number of atoms in four bytes; lattice, atomic
numbers, fractional coordinates; then, where flagged, the occupancy table and the site columns as
JSON. Lengths and coordinates are rounded to :data:`DECIMALS`, so that the last bits in which two
programs differ do not make another crystal.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import IntegrityError, MaterialabsError

MAGIC = b"MX1"

DECIMALS = 8
"""Of lattice vectors (angstrom), fractional coordinates and occupancies."""

TRANSIENT_SITE_COLUMNS = frozenset({"force", "velocity"})
"""Results of a calculation rather than parts of a crystal; they belong to records."""

_HEAD = struct.Struct("<3sBI")
_OCCUPANCY_FLAG, _COLUMNS_FLAG = 8, 16


def crystal_hash(blob: bytes) -> str:
    """The name of a crystal: SHA-256 of its bytes, in hex."""
    return hashlib.sha256(blob).hexdigest()


def rounded(crystals: Crystals) -> Crystals:
    """The batch as it comes back from its bytes."""
    table = crystals.occupancy
    if table is not None:
        table = Occupancy(table.offsets, table.occupants, _exact(table.fractions))
    return crystals.replace(
        lattice=_exact(crystals.lattice), frac=_exact(crystals.frac), occupancy=table
    )


def to_blobs(crystals: Crystals) -> list[bytes]:
    """Each crystal of a batch as bytes."""
    lattice = _exact(crystals.lattice)
    frac = _exact(crystals.frac)
    flags = crystals.pbc @ np.array([1, 2, 4])
    partial = crystals.disordered()
    names = sorted(set(crystals.site_columns) - TRANSIENT_SITE_COLUMNS)
    blobs = []
    for index in range(len(crystals)):
        start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
        tail, flag = b"", int(flags[index])
        if partial[index]:
            tail, flag = _occupancy_bytes(crystals, start, stop), flag | _OCCUPANCY_FLAG
        extra = _column_bytes(crystals, names, start, stop) if names else b""
        if extra:
            tail, flag = tail + extra, flag | _COLUMNS_FLAG
        blobs.append(
            b"".join(
                (
                    _HEAD.pack(MAGIC, flag, stop - start),
                    lattice[index].tobytes(),
                    crystals.numbers[start:stop].tobytes(),
                    frac[start:stop].tobytes(),
                    tail,
                )
            )
        )
    return blobs


def _exact(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded, with one zero rather than two."""
    return np.asarray(np.round(values, DECIMALS) + 0.0, dtype="<f8")


def _occupancy_bytes(crystals: Crystals, start: int, stop: int) -> bytes:
    assert crystals.occupancy is not None
    table = crystals.occupancy.take(np.arange(start, stop))
    return b"".join(
        (
            np.diff(table.offsets).astype("<u1").tobytes(),
            table.occupants.tobytes(),
            _exact(table.fractions).tobytes(),
        )
    )


def _column_bytes(crystals: Crystals, names: Sequence[str], start: int, stop: int) -> bytes:
    document = {}
    for name in names:
        column = crystals.site_columns[name][start:stop]
        missing = is_missing(column)
        if not missing.all():
            document[name] = [
                None if gone else value
                for value, gone in zip(column.tolist(), missing, strict=True)
            ]
    if not document:
        return b""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), default=str).encode()


def from_blobs(blobs: Iterable[bytes]) -> Crystals:
    """Read crystals from their bytes; anything else is refused."""
    try:
        return Crystals.concat([_one(blob) for blob in blobs])
    except (MaterialabsError, ValueError, KeyError, TypeError, struct.error) as error:
        raise IntegrityError(f"A stored crystal is damaged: {error}") from error


def _one(blob: bytes) -> Crystals:
    magic, flags, count = _HEAD.unpack_from(blob)
    if magic != MAGIC:
        raise ValueError("these bytes are not a crystal")
    position = _HEAD.size
    need = position + 72 + 25 * count
    if need > len(blob):
        raise ValueError("the bytes are cut short")
    lattice = np.frombuffer(blob, "<f8", 9, position).reshape(1, 3, 3)
    numbers = np.frombuffer(blob, "<u1", count, position + 72)
    frac = np.frombuffer(blob, "<f8", 3 * count, position + 72 + count).reshape(-1, 3)
    occupancy = None
    if flags & _OCCUPANCY_FLAG:
        occupancy, need = _read_occupancy(blob, need, count)
    site_columns: dict[str, Any] = {}
    if flags & _COLUMNS_FLAG:
        site_columns = json.loads(blob[need:])
    elif need != len(blob):
        raise ValueError("bytes are left over")
    return Crystals(
        lattice,
        frac,
        numbers,
        np.array([0, count]),
        np.array([[bool(flags & bit) for bit in (1, 2, 4)]]),
        site_columns=site_columns,  # type: ignore[arg-type]
        occupancy=occupancy,
    )


def _read_occupancy(blob: bytes, position: int, count: int) -> tuple[Occupancy, int]:
    sizes = np.frombuffer(blob, "<u1", count, position).astype(np.int64)
    total = int(sizes.sum())
    position += count
    occupants = np.frombuffer(blob, "<u1", total, position)
    fractions = np.frombuffer(blob, "<f8", total, position + total)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return Occupancy(offsets, occupants, fractions), position + 9 * total
