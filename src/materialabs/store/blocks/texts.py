"""Texts of a column side by side in one array of bytes, compared all at once.

Texts are compared byte by byte in UTF-8, as both databases compare them.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Truths = NDArray[np.bool_]
Places = NDArray[np.intp]

WORD_BYTES: Final = 8
"""Of a text that are compared at once when texts are sorted."""

FEW: Final = 2
"""Texts are kept once, with a number for each row, where there are this many rows for each."""

LENGTHS: Final = {1: "<u1", 2: "<u2", 4: "<u4"}
"""Bytes of a text's length, and their type in numpy."""

ORDERS: Final = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class Texts:
    """Texts of a column.

    Parameters
    ----------
    data
        Bytes of the entries, uint8, and a word of zeros behind them.
    starts, ends
        Where each entry begins and ends in them.
    codes
        Entry of each known row; ``None`` where they are in order, one for each.
    known
        Which rows have a text; ``None`` where all have.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    codes: NDArray[Any] | None
    known: Truths | None

    # -- tests of entries -------------------------------------------------------------------------

    def compared(self, sign: str, text: str) -> Truths:
        """Which rows stand so to a text; those unknown do not."""
        if sign == "=":
            return self._rows(self._equal(text))
        if sign == "!=":
            return self._rows(~self._equal(text))
        return self._rows(ORDERS[sign](self._order(text), 0))

    def matched(self, where: str, text: str) -> Truths:
        """Which rows contain, start with or end with a text."""
        needle = text.encode()
        if where == "contains":
            return self._rows(self._containing(needle))
        origins = self.starts if where == "starts" else self.ends - len(needle)
        return self._rows(self._at(needle, np.flatnonzero(self._sizes >= len(needle)), origins))

    @property
    def _sizes(self) -> NDArray[np.int64]:
        return self.ends - self.starts

    def _equal(self, text: str) -> Truths:
        needle = text.encode()
        return self._at(needle, np.flatnonzero(self._sizes == len(needle)), self.starts)

    def _at(self, needle: bytes, entries: Places, origins: NDArray[np.int64]) -> Truths:
        """Which of these entries hold the bytes where each has its origin."""
        for place in range(0, len(needle), WORD_BYTES):
            part = needle[place : place + WORD_BYTES]
            words = self._windows(origins[entries] + place)
            spare = np.uint64(8 * (WORD_BYTES - len(part)))
            wanted = np.uint64(int.from_bytes(part, "big"))
            entries = entries[words >> spare == wanted]
        return self._marked(entries)

    def _windows(self, origins: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Eight bytes from each of these places as one number."""
        windows = np.lib.stride_tricks.sliding_window_view(self.data, WORD_BYTES)
        return windows[origins].view(">u8")[:, 0].astype(np.uint64)

    def _containing(self, needle: bytes) -> Truths:
        if not needle:
            return np.ones(len(self.starts), dtype=bool)
        last = len(self.data) - WORD_BYTES - len(needle) + 1
        places = np.flatnonzero(self.data[: max(0, last)] == needle[0])
        for offset, byte in enumerate(needle[1:], 1):
            places = places[self.data[places + offset] == byte]
        entries = np.searchsorted(self.ends, places, side="right")
        return self._marked(entries[places + len(needle) <= self.ends[entries]])

    def _marked(self, entries: Places) -> Truths:
        found = np.zeros(len(self.starts), dtype=bool)
        found[entries] = True
        return found

    def _order(self, text: str) -> NDArray[np.int8]:
        """Whether each entry comes before (-1), at (0) or behind (1) a text."""
        needle = text.encode()
        order = np.zeros(len(self.starts), dtype=np.int8)
        alike = np.arange(len(self.starts))
        for depth in range(-(-len(needle) // WORD_BYTES)):
            part = needle[depth * WORD_BYTES : (depth + 1) * WORD_BYTES].ljust(WORD_BYTES, b"\0")
            wanted = np.uint64(int.from_bytes(part, "big"))
            words = self._entry_words(depth, alike)
            order[alike[words < wanted]] = -1
            order[alike[words > wanted]] = 1
            alike = alike[words == wanted]
        order[alike[self._sizes[alike] > len(needle)]] = 1
        return order

    def _entry_words(self, depth: int, entries: NDArray[Any]) -> NDArray[np.uint64]:
        """Eight bytes of each of these entries as a number that sorts as they do; 0 at the end."""
        origins = self.starts[entries] + depth * WORD_BYTES
        left = np.minimum(self.ends[entries] - origins, WORD_BYTES)
        if len(left) and int(left.min()) == WORD_BYTES:
            return self._windows(origins)
        words = np.zeros(len(entries), dtype=np.uint64)
        inside = np.flatnonzero(left > 0)
        behind = (8 * (WORD_BYTES - left[inside])).astype(np.uint64)
        words[inside] = self._windows(origins[inside]) >> behind << behind
        return words

    # -- rows -------------------------------------------------------------------------------------

    def _rows(self, of_entries: NDArray[Any]) -> NDArray[Any]:
        """What is told of entries, told of rows; nothing (0) of those unknown."""
        told = of_entries if self.codes is None else of_entries[self.codes]
        if self.known is None:
            return told
        spread = np.zeros(len(self.known), dtype=told.dtype)
        spread[self.known] = told
        return spread

    def order(self, text: str) -> NDArray[np.int8]:
        """Whether each row comes before (-1), at (0) or behind (1) a text; 0 for those unknown."""
        order: NDArray[np.int8] = self._rows(self._order(text))
        return order

    def words(self, depth: int, rows: Places) -> NDArray[np.uint64]:
        """Eight bytes of each of these rows as a number that sorts as they do."""
        if not len(self.starts):
            return np.zeros(len(rows), dtype=np.uint64)
        return self._entry_words(depth, self._entries(rows))

    @property
    def depth(self) -> int:
        """Words of the longest text."""
        return -(-int(self._sizes.max(initial=0)) // WORD_BYTES)

    def _entries(self, rows: Places) -> NDArray[Any]:
        """Entry of each of these rows; that of an unknown row means nothing."""
        if self.known is None:
            return rows if self.codes is None else self.codes[rows]
        places: NDArray[Any] = np.maximum(np.cumsum(self.known) - 1, 0)[rows]
        return places if self.codes is None else self.codes[places]

    def listed(self, rows: Places) -> list[str | None]:
        """The texts of some rows, ``None`` for those unknown."""
        known = [True] * len(rows) if self.known is None else self.known[rows].tolist()
        if not any(known):
            return [None] * len(rows)
        data = self.data.tobytes()
        return [
            data[self.starts[entry] : self.ends[entry]].decode() if there else None
            for entry, there in zip(self._entries(rows).tolist(), known, strict=True)
        ]


def encode_texts(texts: Sequence[str]) -> bytes:
    """Entries with their lengths, and the number of each row's where texts come back often."""
    distinct = sorted(set(texts))
    coded = len(distinct) * FEW <= len(texts)
    entries = [text.encode() for text in (distinct if coded else texts)]
    sizes = np.array([len(entry) for entry in entries], dtype=np.int64)
    width = next(width for width in LENGTHS if int(sizes.max(initial=0)) < 1 << (8 * width))
    head = bytes([coded, width]) + len(entries).to_bytes(4, "little")
    parts = [head, sizes.astype(LENGTHS[width]).tobytes(), *entries, bytes(WORD_BYTES)]
    if coded:
        places = {text: place for place, text in enumerate(distinct)}
        parts.append(np.array([places[text] for text in texts], "<u2").tobytes())
    return b"".join(parts)


def decode_texts(content: bytes, start: int, known: Truths | None) -> Texts:
    """The texts of a column, from where they begin."""
    coded, width = content[start], content[start + 1]
    count = int.from_bytes(content[start + 2 : start + 6], "little")
    sizes = np.frombuffer(content, LENGTHS[width], count, start + 6).astype(np.int64)
    ends = np.cumsum(sizes)
    first = start + 6 + width * count
    size = (int(ends[-1]) if count else 0) + WORD_BYTES
    data = np.frombuffer(content, np.uint8, size, first)
    codes = np.frombuffer(content, "<u2", offset=first + size) if coded else None
    return Texts(data, ends - sizes, ends, codes, known)
