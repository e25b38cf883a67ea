"""The store: one file, or one PostgreSQL database, with everything that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, func, select

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs
from materialabs.errors import InputError, IntegrityError, NotFound, ResourceError
from materialabs.ledger.entries import LogEntry, key_fields, signed_entry
from materialabs.ledger.keys import ContributorKey
from materialabs.store import schema
from materialabs.store.blocks.packing import pack_all
from materialabs.store.database import open_database, reading, refresh_statistics, writing
from materialabs.store.identity import Identity, key_folder, open_identity
from materialabs.store.log import (
    append,
    newest_key_entry,
    read_keyring,
    read_leaves,
    read_state,
)
from materialabs.store.observations import (
    PreparedCrystals,
    PreparedRecord,
    prepare_crystals,
    prepare_record,
    read_record,
    records_of,
)
from materialabs.store.query import Results
from materialabs.store.records import Property, Record
from materialabs.store.rows import chunks
from materialabs.store.writer import Written, write

BATCH = 2000
"""Crystals in one transaction: about a second of work, so that little is lost at a power cut."""


class Store:
    """Crystals, properties and the log that proves them; a context manager.

    Parameters
    ----------
    place
        Path of a SQLite file, made when missing, or a ``postgresql://`` URL.
    keys
        Folder of the keys; the user's own by default.
    tiles
        Folder that the log's tiles are written to after every write; none by default.
    """

    def __init__(
        self, place: str | Path, *, keys: Path | None = None, tiles: Path | None = None
    ) -> None:
        self.place = str(place)
        self.engine = open_database(place)
        self._keys = keys
        self._tiles = tiles
        self._key_entry: int | None = None
        self._wrote = False

    @property
    def keys(self) -> Path:
        """Folder of the keys that this store is written with."""
        return self._keys or key_folder()

    @cached_property
    def identity(self) -> Identity:
        """The keys that this store is written with; made, and admitted to the log, on first use."""
        identity = open_identity(self.engine, self._keys)
        self._admit(identity)
        return identity

    def _admit(self, identity: Identity) -> None:
        """Enter the contributor's key in the log if it is not there."""
        with writing(self.engine) as connection:
            if _key_is_known(connection, identity.contributor):
                return
            entry = signed_entry("key-add", key_fields(identity.contributor), identity.log)
            append(connection, [entry], identity.signer)

    # -- writing --------------------------------------------------------------------------------

    def add(
        self,
        crystals: Crystals,
        properties: Sequence[tuple[Property, ...]] | None = None,
        *,
        doi: str = "",
        licence: str = "",
    ) -> Written:
        """Store crystals, each with its properties, as one record a crystal.

        Parameters
        ----------
        crystals
            Any batch; the ``id`` column becomes each record's source.
        properties
            For each crystal; none by default.
        doi
            Where they were published.
        licence
            Under which they are given, such as CC-BY-4.0; the contributor signs for it.
        """
        listed = properties or [()] * len(crystals)
        totals = Written(0, 0, 0, 0)
        for start in range(0, len(crystals), BATCH):
            part = crystals[start : start + BATCH]
            records = records_of(part, listed[start : start + BATCH], doi=doi)
            done = self._write(part, records, {}, licence)
            totals = Written(
                totals.crystals + done.crystals,
                totals.records + done.records,
                totals.known + done.known,
                done.size,
            )
        return totals

    def add_records(
        self,
        records: Sequence[Record],
        blobs: dict[bytes, bytes] | None = None,
        *,
        licence: str = "",
    ) -> Written:
        """Store records whose crystals are there already, or that have a composition only."""
        return self._write(None, records, blobs or {}, licence)

    def _write(
        self,
        crystals: Crystals | None,
        records: Sequence[Record],
        blobs: dict[bytes, bytes],
        licence: str,
    ) -> Written:
        identity = self.identity
        prepared = None if crystals is None else prepare_crystals(crystals)
        signed = [
            prepare_record(record, identity.contributor, licence=licence) for record in records
        ]
        return self.commit(prepared, signed, blobs)

    def commit(
        self,
        crystals: PreparedCrystals | None,
        records: Sequence[PreparedRecord],
        blobs: dict[bytes, bytes],
        also: Callable[[Connection], None] | None = None,
    ) -> Written:
        """Store in one transaction what was prepared and signed with this store's keys.

        Parameters
        ----------
        crystals, records, blobs
            As for :func:`~materialabs.store.writer.write`.
        also
            What else belongs to the transaction.
        """
        identity = self.identity
        with writing(self.engine) as connection:
            self._require_counting(connection, identity)
            written = write(connection, crystals, records, identity.signer, blobs)
            if also is not None:
                also(connection)
        self._wrote = True
        self.publish()
        return written

    def _require_counting(self, connection: Connection, identity: Identity) -> None:
        """Refuse to write with a key that was rotated or revoked."""
        newest = newest_key_entry(connection)
        if newest == self._key_entry:
            return
        ring = read_keyring(connection, identity.log.public)
        if not ring.keys[identity.contributor.id].counts_at(newest + 1):
            raise InputError(
                f"The key {identity.contributor.id} of {identity.contributor.name} was rotated or "
                "revoked: finish with `materialabs ledger key rotate`, or make another with "
                "`materialabs ledger key new`."
            )
        self._key_entry = newest

    def forget_identity(self) -> None:
        """Read the keys from disk again at the next write; one of them was changed."""
        self.__dict__.pop("identity", None)
        self._key_entry = None

    def publish(self) -> None:
        """Bring the folder of tiles up to the last commit, where there is one."""
        if self._tiles is not None:
            from materialabs.store.tile_files import write_tiles

            write_tiles(self, self._tiles)

    # -- reading --------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of crystals."""
        with reading(self.engine) as connection:
            query = select(func.count()).select_from(schema.crystals)
            return int(connection.execute(query).scalar_one())

    def query(self, text: str = "", *, sort: str = "", predicted: bool = False) -> Results:
        """Structures that a filter selects.

        Parameters
        ----------
        text
            An OPTIMADE filter such as ``crystal_system="hexagonal" AND band_gap>=1``; our own
            properties need no prefix. Empty for everything.
        sort
            Property names joined by commas, a minus before those that fall.
        predicted
            Whether models' values count for bare property names.
        """
        return Results(self.engine, text, sort=sort, predicted=predicted)

    def crystals(self, ids: Sequence[int]) -> Crystals:
        """Crystals by their numbers in the store, in the order given, with their sources as ids."""
        batch = from_blobs(self.contents(ids))
        table = schema.structures
        sources: dict[int, str] = {}
        with reading(self.engine) as connection:
            for chunk in chunks(list(ids)):
                rows = connection.execute(
                    select(table.c.id, table.c.source, table.c.name).where(table.c.id.in_(chunk))
                )
                sources.update({row.id: row.source or row.name for row in rows})
        return batch.with_columns(id=[sources[number] for number in ids])

    def contents(self, ids: Sequence[int]) -> list[bytes]:
        """Crystals as bytes by their numbers in the store, in the order given."""
        table = schema.crystals
        found: dict[int, bytes] = {}
        with reading(self.engine) as connection:
            for chunk in chunks(list(ids)):
                rows = connection.execute(
                    select(table.c.id, table.c.content).where(table.c.id.in_(chunk))
                )
                found.update({row.id: bytes(row.content) for row in rows})
        missing = [number for number in ids if number not in found]
        if missing:
            raise NotFound(f"The store has no crystal {missing[0]}.")
        return [found[number] for number in ids]

    def content(self, name: bytes) -> bytes:
        """A crystal or a blob by its SHA-256."""
        with reading(self.engine) as connection:
            for table in (schema.crystals, schema.blobs):
                found = connection.execute(
                    select(table.c.content).where(table.c.hash == name)
                ).scalar_one_or_none()
                if found is not None:
                    return bytes(found)
        raise NotFound(f"The store has no content {name.hex()}.")

    def record(self, identity: str) -> Record:
        """A record by its id."""
        try:
            name = bytes.fromhex(identity)
        except ValueError as error:
            raise NotFound(f"{identity!r} is not the id of a record.") from error
        with reading(self.engine) as connection:
            row = connection.execute(
                select(schema.records.c.body).where(schema.records.c.hash == name)
            ).one_or_none()
        if row is None:
            raise NotFound(f"The store has no record {identity}.")
        if row.body is None:
            raise IntegrityError(f"The record {identity} was withdrawn.")
        return read_record(bytes(row.body))

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LogEntry]:
        """The log's entries in order."""
        with reading(self.engine) as connection:
            end = read_state(connection).frontier.size if stop is None else stop
            for first in range(start, end, BATCH):
                leaves = read_leaves(connection, first, min(first + BATCH, end))
                yield from (LogEntry.parse(leaf) for leaf in leaves)

    @property
    def checkpoint(self) -> str:
        """The log's last signed checkpoint; empty before the first write."""
        with reading(self.engine) as connection:
            return read_state(connection).note

    # -- closing --------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the database."""
        if self._wrote:
            with suppress(ResourceError):
                self.settle()
        self.engine.dispose()

    def settle(self) -> None:
        """Bring up to date what queries go by, as closing does after a write."""
        with writing(self.engine) as connection:
            pack_all(connection)
        refresh_statistics(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.place!r}: {len(self)} crystals)"


def _key_is_known(connection: Connection, key: ContributorKey) -> bool:
    """Whether the log has ever admitted this key."""
    table = schema.log_entries
    rows = connection.execute(select(table.c.leaf).where(table.c.record_hash.is_(None)))
    entries = [LogEntry.parse(bytes(row.leaf)) for row in rows]
    publics = {entry.fields["public"] for entry in entries if "public" in entry.fields}
    return key.public_document()["public"] in publics
