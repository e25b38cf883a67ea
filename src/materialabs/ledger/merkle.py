"""The Merkle tree of RFC 6962: roots, inclusion proofs and consistency proofs.

A leaf hashes as SHA-256(0x00 || leaf), an inner node as SHA-256(0x01 || left || right). A tree of
n leaves splits at the largest power of two below n. Proofs are lists of 32-byte hashes.

Hashes of complete subtrees are read through a :class:`HashReader`, which need keep only every
eighth level (the C2SP tlog-tiles layout); the levels between are computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from materialabs.errors import InputError, IntegrityError

HASH_SIZE = 32
"""Bytes of a SHA-256 hash."""

TILE_HEIGHT = 8
"""Levels of the tree in one tile (C2SP tlog-tiles)."""

TILE_WIDTH = 1 << TILE_HEIGHT
"""Hashes in a full tile."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class HashReader(Protocol):
    """Gives hashes of complete subtrees at the stored levels 0, 8, 16, ..."""

    def read(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Hashes ``start`` to ``stop`` of a stored level; level 0 holds the leaf hashes."""


@dataclass
class Frontier:
    """The roots of the complete subtrees on the right edge: all that appending needs.

    Parameters
    ----------
    size
        Leaves so far.
    peaks
        Roots of complete subtrees from the largest to the smallest, one for each bit of ``size``.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.peaks) != self.size.bit_count():
            raise InputError(f"A tree of {self.size} leaves has {self.size.bit_count()} peaks.")

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        node, size = leaf, self.size
        while size & 1:
            node = node_hash(self.peaks.pop(), node)
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes in order."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """Root of the tree so far."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node

    def copy(self) -> Frontier:
        """The same frontier, to be extended apart."""
        return Frontier(self.size, list(self.peaks))


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Root of a tree of these leaf hashes."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """Root of a complete subtree over 2^k hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def subtree_root(reader: HashReader, start: int, stop: int) -> bytes:
    """Root over leaves ``start`` to ``stop``, where ``start`` is aligned as in a proof."""
    parts = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        parts.append(_node(reader, level, start >> level))
        start += 1 << level
    node = parts.pop()
    while parts:
        node = node_hash(parts.pop(), node)
    return node


def _node(reader: HashReader, level: int, index: int) -> bytes:
    """A complete subtree's root, computed from the stored level at or below it."""
    stored = level - level % TILE_HEIGHT
    width = 1 << (level - stored)
    hashes = reader.read(stored, index * width, (index + 1) * width)
    if len(hashes) != width:
        raise IntegrityError(f"The log lacks hashes of level {stored} at {index * width}.")
    return complete_root(hashes)


def _split(size: int) -> int:
    """The largest power of two below a size above one."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(reader: HashReader, index: int, size: int) -> list[bytes]:
    """Prove that leaf ``index`` is in the tree of the first ``size`` leaves (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise InputError(f"Leaf {index} is not in a log of {size} entries.")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(subtree_root(reader, middle, stop))
            stop = middle
        else:
            path.append(subtree_root(reader, start, middle))
            start = middle
    return path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise IntegrityError(f"Leaf {index} is not in a log of {size} entries.")
    node, position, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise IntegrityError("The inclusion proof is too long.")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    if last:
        raise IntegrityError("The inclusion proof is too short.")
    return node


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Refuse an inclusion proof that does not lead from this leaf hash to this root."""
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise IntegrityError(f"Entry {index} is not in the log of {size} entries as claimed.")


def consistency_proof(reader: HashReader, old: int, new: int) -> list[bytes]:
    """Prove that the first ``old`` leaves of a tree of ``new`` are its former self (2.1.2)."""
    if not 0 <= old <= new:
        raise InputError(f"A log cannot have had {old} entries when it has {new}.")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, stop, whole = 0, new, True
    while start + (old - start) != stop:
        middle = start + _split(stop - start)
        if old <= middle:
            path.append(subtree_root(reader, middle, stop))
            stop = middle
        else:
            path.append(subtree_root(reader, start, middle))
            start, whole = middle, False
    if not whole:
        path.append(subtree_root(reader, start, stop))
    return path[::-1]


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Refuse a proof that the tree of ``old`` leaves grew into the tree of ``new`` (RFC 9162)."""
    if old > new:
        raise IntegrityError(f"The log shrank from {old} to {new} entries.")
    if old == 0:
        _require_root(EMPTY_ROOT, old_root, old)
        _require_no_hashes(proof)
        return
    if old == new:
        _require_root(old_root, new_root, new)
        _require_no_hashes(proof)
        return
    _walk_consistency(old, new, list(proof), old_root, new_root)


def _walk_consistency(
    old: int, new: int, hashes: list[bytes], old_root: bytes, new_root: bytes
) -> None:
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise IntegrityError("The consistency proof is empty.")
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise IntegrityError("The consistency proof is too long.")
        if position & 1 or position == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            after = node_hash(after, sibling)
        position >>= 1
        last >>= 1
    if last:
        raise IntegrityError("The consistency proof is too short.")
    _require_root(before, old_root, old)
    _require_root(after, new_root, new)


def _require_root(found: bytes, claimed: bytes, size: int) -> None:
    if found != claimed:
        raise IntegrityError(f"The log of {size} entries does not have the root that is claimed.")


def _require_no_hashes(proof: Sequence[bytes]) -> None:
    if proof:
        raise IntegrityError("The consistency proof holds hashes that it does not need.")


class LeafHashes:
    """A reader over leaf hashes in memory, for tests and for small logs."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels: dict[int, list[bytes]] = {0: list(leaves)}

    def read(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Hashes of a stored level, computed on first use."""
        while level not in self._levels:
            top = max(self._levels)
            below = self._levels[top]
            whole = len(below) // TILE_WIDTH
            self._levels[top + TILE_HEIGHT] = [
                complete_root(below[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(whole)
            ]
        return self._levels[level][start:stop]
