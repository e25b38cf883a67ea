"""Another node as its mirror sees it: checkpoint, tiles, and contents by their hash."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from materialabs.errors import ExternalError, MaterialabsError, NotFound
from materialabs.ledger.entries import LARGEST_LEAF
from materialabs.ledger.merkle import HASH_SIZE, TILE_HEIGHT, TILE_WIDTH
from materialabs.ledger.notes import Verifier
from materialabs.ledger.tiles import Tile, unpack_entries, unpack_hashes
from materialabs.store.fetching import Fetch

LARGEST_CHECKPOINT: Final = 100_000
"""Bytes."""

LARGEST_ENTRIES: Final = TILE_WIDTH * (LARGEST_LEAF + 2)
"""Bytes of a tile of entries."""

TILES_KEPT: Final = 64
"""Tiles of hashes in memory: 512 kB."""

MOST_WANTED: Final = 512
"""Contents asked for in one request."""

LENGTH_BYTES: Final = 8
"""Before each content in an answer, big-endian, after its hash."""


class TooMuchError(ExternalError):
    """More content than can be held at once."""


@dataclass
class Node:
    """Another node.

    Parameters
    ----------
    url
        Its base address.
    fetch
        What fetches.
    """

    url: str
    fetch: Fetch
    _tiles: OrderedDict[str, list[bytes]] = field(default_factory=OrderedDict)

    def checkpoint(self) -> str:
        """The log's signed checkpoint, not believed yet."""
        content = self.fetch(f"{self.url}/log/checkpoint", limit=LARGEST_CHECKPOINT)
        return content.decode(errors="replace")

    def verifier(self) -> Verifier:
        """The key that the node claims for its log."""
        content = self.fetch(f"{self.url}/log/verifier", limit=LARGEST_CHECKPOINT)
        return Verifier.parse(content.decode(errors="replace"))

    def entries(self, number: int, width: int) -> list[bytes]:
        """The leaves of a tile of entries."""
        leaves = unpack_entries(self._tile(Tile(-1, number, width), LARGEST_ENTRIES))
        return leaves[:width]

    def hashes(self, level: int, number: int, width: int) -> list[bytes]:
        """The hashes of a tile; level 1 holds the roots of full tiles of level 0."""
        tile = Tile(level, number, width)
        if tile.path not in self._tiles:
            content = self._tile(tile, TILE_WIDTH * HASH_SIZE)
            self._tiles[tile.path] = unpack_hashes(content)[:width]
            while len(self._tiles) > TILES_KEPT:
                self._tiles.popitem(last=False)
        self._tiles.move_to_end(tile.path)
        return self._tiles[tile.path]

    def _tile(self, tile: Tile, limit: int) -> bytes:
        """A tile; where it has been filled since, the full one begins with it."""
        try:
            return self.fetch(f"{self.url}/log/{tile.path}", limit=limit)
        except NotFound:
            if tile.width == TILE_WIDTH:
                raise
            full = Tile(tile.level, tile.number)
            return self.fetch(f"{self.url}/log/{full.path}", limit=limit)

    def contents(self, wanted: Sequence[bytes], budget: int) -> Iterator[tuple[bytes, bytes]]:
        """(hash, content) of what the node has of this, each checked against its hash.

        Parameters
        ----------
        wanted
            SHA-256 of records, crystals and blobs.
        budget
            Bytes that may come in all.
        """
        left = list(dict.fromkeys(wanted))
        while left:
            part, left = left[:MOST_WANTED], left[MOST_WANTED:]
            body = json.dumps({"hashes": [name.hex() for name in part]}).encode()
            answer = self.fetch(f"{self.url}/api/v1/contents", body)
            found = set()
            for name, content in unpack_contents(answer):
                budget -= len(content)
                if budget < 0:
                    raise TooMuchError(f"{self.url} sends more than can be held at once.")
                found |= {name} & set(part)
                if name in part and hashlib.sha256(content).digest() == name:
                    yield name, content
            if found:  # the node stops early when an answer grows long
                left = [name for name in part if name not in found] + left


def pack_contents(contents: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Contents as an answer holds them: hash, length, bytes."""
    return b"".join(
        name + len(content).to_bytes(LENGTH_BYTES, "big") + content for name, content in contents
    )


def unpack_contents(answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(hash, content) of an answer."""
    head = HASH_SIZE + LENGTH_BYTES
    position = 0
    while position < len(answer):
        name = answer[position : position + HASH_SIZE]
        length = int.from_bytes(answer[position + HASH_SIZE : position + head], "big")
        content = answer[position + head : position + head + length]
        if position + head > len(answer) or len(content) != length:
            raise ExternalError("An answer with contents is cut short.")
        yield name, content
        position += head + length


@dataclass(frozen=True)
class NodeHashes:
    """Hashes of a node's tree of some size (a :class:`HashReader`), from its tiles alone."""

    node: Node
    size: int

    def read(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Hashes ``start`` to ``stop`` of level 0, 8, 16, ..."""
        found: list[bytes] = []
        whole = self.size >> level
        stop = min(stop, whole)
        while start < stop:
            number = start // TILE_WIDTH
            first = number * TILE_WIDTH
            width = min(TILE_WIDTH, whole - first)
            end = min(stop, first + width)
            found += self.node.hashes(level // TILE_HEIGHT, number, width)[
                start - first : end - first
            ]
            start = end
        return found


def gather(nodes: Sequence[Node], wanted: Sequence[bytes], budget: int) -> dict[bytes, bytes]:
    """Contents by their hash from whichever node has them, the first asked first."""
    found: dict[bytes, bytes] = {}
    for node in nodes:
        missing = [name for name in wanted if name not in found]
        if not missing:
            break
        try:
            held = sum(len(content) for content in found.values())
            found.update(node.contents(missing, budget - held))
        except TooMuchError:
            raise
        except MaterialabsError:
            continue  # a node that cannot help is passed over; what stays missing is named
    return found
