"""The log as files of 256 hashes (C2SP tlog-tiles): what mirrors and auditors fetch.

Layout under the log's folder::

    checkpoint                     the signed checkpoint
    tile/<level>/<number>[.p/<w>]  256 hashes, or the first w of them at the right edge
    tile/entries/<number>[.p/<w>]  256 entries, each with two bytes of length before it

A number is written in groups of three digits, all but the last with an ``x``: 1234067 is
``x001/x234/067``. Level L of the tiles is level 8 L of the tree. The database is the truth; tiles
are written after a commit and can be made again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from materialabs.errors import IntegrityError, NotFound, ResourceError
from materialabs.ledger.merkle import HASH_SIZE, TILE_HEIGHT, TILE_WIDTH

_PATH = re.compile(r"tile/(entries|\d{1,2})/((?:x\d{3}/){0,6}\d{3})(?:\.p/(\d{1,3}))?")
HIGHEST_LEVEL = 7
"""Of tiles: 256^8 entries are more than a log will hold."""


@dataclass(frozen=True)
class Tile:
    """One tile: its level (-1 for entries), its number, and how many places it fills.

    Parameters
    ----------
    level
        0 for leaf hashes, 1 for the roots of full level-0 tiles, ...; -1 for entries.
    number
        Position in the level.
    width
        1 to 256; below 256 it stands at the right edge.
    """

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Path under the log's folder."""
        digits = f"{self.number % 1000:03d}"
        rest = self.number // 1000
        while rest:
            digits = f"x{rest % 1000:03d}/{digits}"
            rest //= 1000
        level = "entries" if self.level < 0 else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{digits}{partial}"

    @classmethod
    def parse(cls, path: str) -> Tile:
        """Read a path; anything but the one canonical form is refused."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise NotFound(f"{path[:80]!r} is not the path of a tile.")
        level = -1 if match.group(1) == "entries" else int(match.group(1))
        number = int(match.group(2).replace("x", "").replace("/", ""))
        tile = cls(level, number, int(match.group(3) or TILE_WIDTH))
        if tile.path != path or level > HIGHEST_LEVEL or not 1 <= tile.width <= TILE_WIDTH:
            raise NotFound(f"{path[:80]!r} is not the path of a tile.")
        return tile


def tiles_between(old: int, new: int) -> Iterator[Tile]:
    """The tiles that appear or grow when the log grows from ``old`` to ``new`` entries."""
    yield from _level_tiles(-1, old, new)
    level = 0
    while new:
        yield from _level_tiles(level, old, new)
        old >>= TILE_HEIGHT
        new >>= TILE_HEIGHT
        level += 1


def _level_tiles(level: int, old: int, new: int) -> Iterator[Tile]:
    if new == old:
        return
    for number in range(old // TILE_WIDTH, (new + TILE_WIDTH - 1) // TILE_WIDTH):
        yield Tile(level, number, min(TILE_WIDTH, new - number * TILE_WIDTH))


def pack_entries(leaves: Sequence[bytes]) -> bytes:
    """Entries as a tile holds them: two bytes of length, big-endian, then the leaf."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def unpack_entries(content: bytes) -> list[bytes]:
    """The leaves in a tile of entries."""
    leaves, position = [], 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 2], "big")
        leaf = content[position + 2 : position + 2 + length]
        if len(leaf) != length or position + 2 > len(content):
            raise IntegrityError("A tile of entries is cut short.")
        leaves.append(leaf)
        position += 2 + length
    return leaves


def unpack_hashes(content: bytes) -> list[bytes]:
    """The hashes in a tile."""
    if len(content) % HASH_SIZE:
        raise IntegrityError("A tile of hashes is cut short.")
    return [content[i : i + HASH_SIZE] for i in range(0, len(content), HASH_SIZE)]


def write_file(folder: Path, name: str, content: bytes) -> None:
    """Write a tile or a checkpoint: under a temporary name first, then renamed."""
    path = folder / name
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise ResourceError(f"{path} cannot be written: {error.strerror}.") from error


def read_file(folder: Path, name: str) -> bytes:
    """Read a tile or the checkpoint of a folder."""
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"The log in {folder} has no {name}.") from error
    except OSError as error:
        raise ResourceError(f"{folder / name} cannot be read: {error.strerror}.") from error
