"""One column of a block as bytes: whole numbers, decimals or texts, with what is unknown left out.

The first byte tells the kind, the second whether all rows are known; if not, a bit for each row
follows. Only known rows have a value behind that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.store.blocks.texts import Texts, decode_texts, encode_texts

Truths = NDArray[np.bool_]

WHOLE, DECIMAL, TEXT, SAME = b"i", b"d", b"t", b"="
"""Kinds of columns; the last stands before the name of a column with the same content."""

DAMAGE: Final = (ValueError, IndexError, KeyError, OverflowError, RecursionError)
"""What the reading of bytes that are no column may raise."""

ALL_KNOWN, SOME_KNOWN = b"\0", b"\1"

WIDTHS: Final = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
"""Bytes of a whole number, and their type in numpy."""


@dataclass(frozen=True)
class Numbers:
    """Numbers of a column; what stands in unknown rows means nothing.

    Parameters
    ----------
    values
        int64 or float64 ``[rows]``.
    known
        Which rows have a value; ``None`` where all have.
    """

    values: NDArray[Any]
    known: Truths | None


Column = Numbers | Texts


def encode(kind: bytes, values: Sequence[Any]) -> bytes:
    """A column of this kind, with ``None`` for what is unknown."""
    known = np.array([value is not None for value in values], dtype=bool)
    head = kind + ALL_KNOWN
    present = values
    if not known.all():
        head = kind + SOME_KNOWN + np.packbits(known).tobytes()
        present = [value for value in values if value is not None]
    if kind == TEXT:
        return head + encode_texts(present)
    return head + (_whole(present) if kind == WHOLE else np.array(present, "<f8").tobytes())


def _whole(values: Sequence[int]) -> bytes:
    """The smallest, and the distances from it in as few bytes as hold them."""
    numbers = np.array(values, dtype=np.int64)
    smallest = int(numbers.min()) if len(numbers) else 0
    span = (int(numbers.max()) - smallest) if len(numbers) else 0
    width = next(width for width in WIDTHS if span < 1 << (8 * width))
    distances = (numbers.astype(np.uint64) - np.uint64(smallest % (1 << 64))).astype(WIDTHS[width])
    return bytes([width]) + smallest.to_bytes(8, "little", signed=True) + distances.tobytes()


def decode(content: bytes, rows: int) -> Column:
    """A column of a block with this many rows."""
    kind, start, known = content[:1], 2, None
    if content[1:2] == SOME_KNOWN:
        start += -(-rows // 8)
        bits = np.frombuffer(content, np.uint8, offset=2, count=start - 2)
        known = np.unpackbits(bits, count=rows).astype(bool)
    if kind == TEXT:
        return decode_texts(content, start, known)
    return Numbers(_spread(decode_numbers(content, start), known), known)


def decode_numbers(content: bytes, start: int = 2) -> NDArray[Any]:
    """The numbers of known rows, from where they begin."""
    if content[:1] == DECIMAL:
        return np.frombuffer(content, "<f8", offset=start)
    smallest = int.from_bytes(content[start + 1 : start + 9], "little", signed=True)
    distances = np.frombuffer(content, WIDTHS[content[start]], offset=start + 9)
    return distances.astype(np.int64) + smallest


def _spread(values: NDArray[Any], known: Truths | None) -> NDArray[Any]:
    if known is None:
        return values
    spread = np.zeros(len(known), dtype=values.dtype)
    spread[known] = values
    return spread


def listed(column: Column, rows: NDArray[np.intp]) -> list[Any]:
    """The values of some rows, ``None`` for what is unknown."""
    if isinstance(column, Texts):
        return column.listed(rows)
    values: list[Any] = column.values[rows].tolist()
    if column.known is None:
        return values
    known = column.known[rows].tolist()
    return [value if there else None for value, there in zip(values, known, strict=True)]
