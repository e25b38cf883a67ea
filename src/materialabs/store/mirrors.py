"""Mirrors: other nodes' logs and records kept here, so that none of them can rewrite its past."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select, update

from materialabs.errors import InputError, IntegrityError, MaterialabsError, NotFound
from materialabs.ledger.notes import Checkpoint, Note, Verifier, open_checkpoint
from materialabs.store import schema
from materialabs.store.database import reading, writing
from materialabs.store.evidence import (
    Evidence,
    MirrorError,
    completed,
    read_evidence,
    write_evidence,
)
from materialabs.store.fetching import Fetch, Fetcher, check_address
from materialabs.store.growth import Held, require_growth
from materialabs.store.identity import log_verifier
from materialabs.store.log import mirrored
from materialabs.store.mirror_pull import Pull
from materialabs.store.node import Node
from materialabs.store.store import Store
from materialabs.store.trust import Trusted, remember, trusted
from materialabs.store.withdraw import scrub

GIVEN: Final = "given"
"""The log's key came from the user."""

FIRST_USE: Final = "first use"
"""The log's key was taken from the node itself when it was added: compare it elsewhere."""


@dataclass(frozen=True)
class Mirror:
    """A node whose log is mirrored here.

    Parameters
    ----------
    url
        Its address.
    verifier
        Its log's key.
    trust
        :data:`GIVEN` or :data:`FIRST_USE`.
    size
        Entries of the log that are here.
    synced
        When it was last pulled, in seconds since 1970.
    evidence
        What was caught against it.
    """

    url: str
    verifier: Verifier
    trust: str
    size: int = 0
    synced: int | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def convicted(self) -> bool:
        """Whether the log has been shown to have two pasts."""
        return any(one.convicts for one in self.evidence)


@dataclass(frozen=True)
class Synced:
    """What a pull did.

    Parameters
    ----------
    origin, size
        The log, and how many entries of it are here now.
    entries, records
        How many were new.
    set_aside
        (record, reason) of records that are here with a number that no filter can compare.
    """

    origin: str
    size: int
    entries: int
    records: int
    set_aside: tuple[tuple[str, str], ...] = ()


def mirror_add(
    store: Store, url: str, verifier: Verifier | None = None, *, fetch: Fetch | None = None
) -> Mirror:
    """Take up another node's log; nothing is pulled yet.

    Parameters
    ----------
    store
        Where the copy will be.
    url
        The node's address, or ``ADDRESS/mirrors/KEY`` for a log that the node mirrors itself.
    verifier
        The log's public key from a source that you trust. Without it the one that the node claims
        is believed from now on, and the result says so.
    fetch
        What fetches; HTTP by default.
    """
    address = check_address(url)
    trust = GIVEN if verifier is not None else FIRST_USE
    key = verifier or Node(address, fetch or Fetcher()).verifier()
    own = log_verifier(store.engine)
    if own is not None and own.name == key.name:
        raise InputError(f"{address} shows this store's own log: there is nothing to mirror.")
    _require_same_key(store, key)
    if trusted(key.name, store.keys) is None:
        remember(Trusted(key), store.keys)
    table = schema.mirrors
    with writing(store.engine) as connection:
        known = connection.execute(select(table).where(table.c.url == address)).one_or_none()
        if known is not None and known.verifier != key.to_text():
            raise InputError(f"{address} is mirrored with another key: remove that mirror first.")
        if known is None:
            row = {"url": address, "origin": key.name, "verifier": key.to_text()}
            connection.execute(insert(table).values(**row, trust=trust, evidence="[]"))
        elif trust == GIVEN:
            connection.execute(update(table).where(table.c.url == address).values(trust=GIVEN))
    return mirror(store, address)


def _require_same_key(store: Store, key: Verifier) -> None:
    """One log has one key, wherever it is fetched."""
    table = schema.mirrors
    with reading(store.engine) as connection:
        rows = connection.execute(select(table.c.verifier).where(table.c.origin == key.name))
        known = {row.verifier for row in rows}
    before = trusted(key.name, store.keys)
    if before is not None:
        known.add(before.verifier.to_text())
    if known - {key.to_text()}:
        raise IntegrityError(
            f"The log {key.name} is known with another key than the one shown now: refused."
        )


def mirror_remove(store: Store, url: str) -> None:
    """Pull from this address no more; what was pulled stays."""
    found = mirror(store, url)
    with writing(store.engine) as connection:
        connection.execute(delete(schema.mirrors).where(schema.mirrors.c.url == found.url))


def mirrors(store: Store) -> list[Mirror]:
    """All nodes that are mirrored here."""
    table, logs = schema.mirrors, schema.mirrored_logs
    with reading(store.engine) as connection:
        rows = connection.execute(select(table).order_by(table.c.url)).all()
        held = connection.execute(select(logs.c.origin, logs.c.size))
        sizes = {row.origin: int(row.size) for row in held}
    return [_mirror(row, sizes.get(row.origin, 0)) for row in rows]


def _mirror(row: Any, size: int) -> Mirror:
    evidence = tuple(read_evidence(row.evidence))
    return Mirror(row.url, Verifier.parse(row.verifier), row.trust, size, row.synced, evidence)


def mirror(store: Store, url: str) -> Mirror:
    """One node that is mirrored here."""
    address = check_address(url)
    for one in mirrors(store):
        if one.url == address:
            return one
    raise NotFound(f"{address} is not mirrored: run `materialabs mirror add {address}` first.")


def mirror_sync(store: Store, url: str, *, fetch: Fetch | None = None) -> Synced:
    """Pull what another node's log has grown by, with its records; refuse every contradiction.

    Each batch is proved to belong to the signed checkpoint before it is stored, and is stored in
    one transaction: a pull that was killed goes on where it stopped.

    Raises
    ------
    MirrorError
        When the log was rewritten, cut, forked or forged. The sentence names the entry where it
        can be found; the evidence is kept with the mirror, and nothing of it is stored.
    """
    known = mirror(store, url)
    if known.convicted:
        first = next(one for one in known.evidence if one.convicts)
        raise IntegrityError(f"{known.url} is not pulled any more. {first.message}")
    peers = [one.url for one in mirrors(store) if one.url != known.url]
    asks = fetch or Fetcher()
    nodes = [Node(address, asks) for address in [known.url, *peers]]
    row = _log_row(store, known.verifier.name)
    shown = nodes[0].checkpoint()
    try:
        return _pulled(store, known, nodes, row, shown)
    except IntegrityError as error:
        believed = "" if row is None else row.note
        caught = (
            error.evidence
            if isinstance(error, MirrorError)
            else Evidence(
                "damaged", f"The log {known.verifier.name} sends what is not a log: {error}"
            )
        )
        evidence = completed(caught, known.url, believed, shown)
        _keep(store, known.url, evidence)
        raise MirrorError(evidence) from error


def _pulled(store: Store, known: Mirror, nodes: list[Node], row: Any, shown: str) -> Synced:
    checkpoint, note = _believed(shown, known.verifier)
    if row is not None:
        held = Held(mirrored(row.id), int(row.size), open_checkpoint(row.note, known.verifier))
        with reading(store.engine) as connection:
            require_growth(connection, held, nodes[0], checkpoint)
    pull = Pull(store, nodes, known.verifier, checkpoint, note, row)
    pull.run()
    table = schema.mirrors
    with writing(store.engine) as connection:
        connection.execute(
            update(table).where(table.c.url == known.url).values(synced=int(time.time()))
        )
    scrub(store)
    return Synced(
        known.verifier.name,
        pull.frontier.size,
        pull.entries,
        pull.records,
        tuple(pull.set_aside),
    )


def _believed(shown: str, verifier: Verifier) -> tuple[Checkpoint, str]:
    """A checkpoint with the log's signature, and its note with that signature alone."""
    try:
        checkpoint = open_checkpoint(shown, verifier)
    except MaterialabsError as error:
        message = f"The checkpoint of the log {verifier.name} is refused: {error}"
        raise MirrorError(Evidence("forged", message)) from error
    note = Note.parse(shown)
    own = [one for one in note.signatures
           if (one.name, one.key_hash) == (verifier.name, verifier.key_hash)]  # fmt: skip
    return checkpoint, str(Note(note.text, (own[0],)))


def _log_row(store: Store, origin: str) -> Any:
    table = schema.mirrored_logs
    with reading(store.engine) as connection:
        return connection.execute(select(table).where(table.c.origin == origin)).one_or_none()


def _keep(store: Store, url: str, evidence: Evidence) -> None:
    table = schema.mirrors
    with writing(store.engine) as connection:
        text = connection.execute(select(table.c.evidence).where(table.c.url == url)).scalar_one()
        listed = [*read_evidence(text), evidence]
        connection.execute(
            update(table).where(table.c.url == url).values(evidence=write_evidence(listed))
        )
