"""The log as files that anyone can fetch from a plain web server (C2SP tlog-tiles).

The database is the truth: tiles are written after a commit, the checkpoint last, and what is lost
is written again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from materialabs.errors import IntegrityError, NotFound, ResourceError
from materialabs.ledger.merkle import (
    HASH_SIZE,
    TILE_HEIGHT,
    TILE_WIDTH,
    consistency_proof,
    verify_consistency,
)
from materialabs.ledger.notes import Checkpoint, Note, Verifier, open_checkpoint
from materialabs.ledger.tiles import Tile, pack_entries, read_file, tiles_between, write_file
from materialabs.store.database import reading
from materialabs.store.identity import log_verifier
from materialabs.store.log import OWN, DatabaseHashes, LogTables, read_leaves, read_state
from materialabs.store.store import Store

CHECKPOINT = "checkpoint"
"""Name of the signed checkpoint in the folder."""


def write_tiles(store: Store, folder: Path) -> int:
    """Write what the log has grown by since the folder's checkpoint; gives its size.

    Parameters
    ----------
    store
        Whose log.
    folder
        Made when missing; refused when it holds another log.
    """
    with reading(store.engine) as connection:
        state = read_state(connection)
        size = state.frontier.size
        if not size:
            return 0
        verifier = log_verifier(store.engine)
        assert verifier is not None
        old = _written(connection, folder, verifier, open_checkpoint(state.note, verifier))
        if old > size:
            return old
        for tile in tiles_between(old, size):
            write_file(folder, tile.path, tile_content(connection, tile))
        write_file(folder, CHECKPOINT, state.note.encode())
        _drop_filled(folder, old, size)
    return size


def _written(connection: Connection, folder: Path, verifier: Verifier, now: Checkpoint) -> int:
    """How many entries the folder holds already; refuses a folder of another log."""
    try:
        text = read_file(folder, CHECKPOINT).decode(errors="replace")
    except NotFound:
        return 0
    try:
        before = open_checkpoint(text, verifier)
        if before.size > now.size:
            return before.size  # another writer was here with a later commit
        proof = consistency_proof(DatabaseHashes(connection), before.size, now.size)
        verify_consistency(before.size, now.size, proof, before.root, now.root)
    except IntegrityError as error:
        raise IntegrityError(
            f"The folder {folder} holds another log or another past of this one ({error}): "
            "remove it, or name another folder."
        ) from error
    return before.size


def _drop_filled(folder: Path, old: int, new: int) -> None:
    """Remove the partial tiles whose full tile stands now."""
    level = 0
    while old:
        number = old // TILE_WIDTH
        if old % TILE_WIDTH and new // TILE_WIDTH > number:
            for kind in (level, -1) if level == 0 else (level,):
                _remove_folder(folder / (Tile(kind, number).path + ".p"))
        old, new, level = old >> TILE_HEIGHT, new >> TILE_HEIGHT, level + 1


def _remove_folder(folder: Path) -> None:
    if not folder.is_dir():
        return
    try:
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        raise ResourceError(f"{folder} cannot be removed: {error.strerror}.") from error


def tile_content(connection: Connection, tile: Tile, log: LogTables = OWN) -> bytes:
    """The bytes of a tile, from the database."""
    first = tile.number * TILE_WIDTH
    if tile.level < 0:
        return pack_entries(read_leaves(connection, first, first + tile.width, log))
    reader = DatabaseHashes(connection, log)
    hashes = reader.read(tile.level * TILE_HEIGHT, first, first + tile.width)
    if len(hashes) != tile.width or any(len(one) != HASH_SIZE for one in hashes):
        raise IntegrityError(f"The log lacks hashes for {tile.path}.")
    return b"".join(hashes)


def tile_problems(
    connection: Connection, folder: Path, size: int, note: str
) -> Iterator[tuple[str, str, str]]:
    """(kind, place, sentence) for every file of a log's folder that is not what it should be.

    Partial tiles of the past may stand until they are full; they are checked too.
    """
    try:
        text = read_file(folder, CHECKPOINT).decode(errors="replace")
        written = Checkpoint.parse(Note.parse(text).text).size
    except (NotFound, IntegrityError) as error:
        yield "missing", CHECKPOINT, f"The folder {folder} has no checkpoint: {error}"
        return
    if written == size and text != note:
        yield "changed", CHECKPOINT, f"The checkpoint in {folder} is not that of the log."
    if written > size:
        yield "forked", CHECKPOINT, f"The checkpoint in {folder} is ahead of the log."
        return
    for tile in tiles_between(0, written):
        if not (folder / tile.path).is_file():
            yield "missing", tile.path, f"The tile {tile.path} is missing."
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        temporary = path.name.startswith(".") and path.name.endswith(".part")
        if path.is_dir() or name == CHECKPOINT or temporary:
            continue
        yield from _file_problems(connection, folder, name, size)


def _file_problems(
    connection: Connection, folder: Path, name: str, size: int
) -> Iterator[tuple[str, str, str]]:
    try:
        tile = Tile.parse(name)
    except NotFound:
        yield "added", name, f"The file {name} in {folder} belongs to no log."
        return
    if tile.number * TILE_WIDTH + tile.width > size >> TILE_HEIGHT * max(tile.level, 0):
        yield "added", name, f"The tile {name} stands for entries that the log does not have."
    elif read_file(folder, name) != tile_content(connection, tile):
        yield "changed", name, f"The tile {name} is not that of the entries."
