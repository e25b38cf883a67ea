"""The life of contributors' keys: made, exported, admitted to a log, rotated, revoked.

Every step but the first is an entry of the log, so that anyone can tell which key counted where.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from materialabs.errors import InputError, IntegrityError, NotFound, ResourceError
from materialabs.ledger.entries import (
    LogEntry,
    key_fields,
    read_key_fields,
    signed_entry,
)
from materialabs.ledger.keyring import Keyring, KnownKey
from materialabs.ledger.keys import LARGEST_KEY_FILE, ContributorKey, key_id
from materialabs.store.database import reading, writing
from materialabs.store.identity import log_verifier
from materialabs.store.log import append, read_keyring, read_state
from materialabs.store.store import Store
from materialabs.store.withdraw import bury, scrub

OWN_KEY: Final = "contributor.key"
"""File of the key that the user signs with."""


@dataclass(frozen=True)
class Contributor:
    """A key that a log knows.

    Parameters
    ----------
    name, id
        Whose, and the key's short name.
    since, until
        Entries with ``since`` <= index < ``until`` may be signed with it.
    """

    name: str
    id: str
    since: int
    until: int | None


def contributors(store: Store) -> list[Contributor]:
    """The keys that the store's log knows, in the order in which they came."""
    verifier = log_verifier(store.engine)
    if verifier is None:
        return []
    with reading(store.engine) as connection:
        ring = read_keyring(connection, verifier.public)
    listed = [
        Contributor(known.name, identity, known.since, known.until)
        for identity, known in ring.keys.items()
    ]
    return sorted(listed, key=lambda one: one.since)


def new_key(folder: Path, name: str) -> ContributorKey:
    """Make the user's key under a name of his own; refused where one stands.

    Parameters
    ----------
    folder
        Where the keys are.
    name
        Who the contributor is, for readers.
    """
    key = ContributorKey.new(name)
    key.save(folder / OWN_KEY)
    return key


def replace_key(folder: Path, name: str) -> ContributorKey:
    """Make another key for the user, for example after the first was revoked; the old is kept."""
    path = folder / OWN_KEY
    old = ContributorKey.load(path)
    key = ContributorKey.new(name)
    _put_in_place(folder, old, key)
    return key


def export_key(folder: Path, target: Path) -> dict[str, str]:
    """Write what the owner of a log needs to admit the user's key; nothing in it is secret."""
    document = key_fields(ContributorKey.load(folder / OWN_KEY))
    try:
        with target.open("x") as file:
            file.write(json.dumps(document, indent=1) + "\n")
    except FileExistsError as error:
        raise InputError(f"{target} exists: name another file.") from error
    except OSError as error:
        raise ResourceError(f"{target} cannot be written: {error.strerror}.") from error
    return document


def read_exported(path: Path) -> dict[str, Any]:
    """Read an exported key."""
    try:
        content = path.read_bytes()[: LARGEST_KEY_FILE + 1]
    except FileNotFoundError as error:
        raise NotFound(f"There is no key at {path}.") from error
    except OSError as error:
        raise ResourceError(f"The key {path} cannot be read: {error.strerror}.") from error
    try:
        document = json.loads(content) if len(content) <= LARGEST_KEY_FILE else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IntegrityError(f"{path} is not an exported key.")
    return document


def import_key(store: Store, document: dict[str, Any]) -> LogEntry:
    """Admit another contributor's exported key to the store's log.

    Parameters
    ----------
    store
        Whose log; its log's key signs.
    document
        What :func:`export_key` wrote: name, public key, and the proof that its owner holds it.

    Raises
    ------
    IntegrityError
        For a key without its owner's proof, or under the name of somebody else.
    """
    if not {"name", "public", "proof"} <= document.keys() or "private" in document:
        raise InputError("Give the file that `materialabs ledger key export` wrote.")
    fields = {name: str(document[name]) for name in ("name", "public", "proof")}
    name, public = read_key_fields(fields)
    identity = store.identity
    with writing(store.engine) as connection:
        ring = read_keyring(connection, identity.log.public)
        if key_id(public) in ring.keys:
            raise InputError(f"The log knows the key {key_id(public)} of {name} already.")
        require_free_name(ring, name)
        entry = signed_entry("key-add", fields, identity.log)
        _append(connection, store, ring, entry)
    store.publish()
    return entry


def require_free_name(ring: Keyring, name: str) -> None:
    """Refuse a contributor's name that stands for somebody else in a log."""
    for identity, known in ring.keys.items():
        if known.name.casefold() == name.casefold():
            raise IntegrityError(
                f"The name {name!r} stands for the key {identity} in this log: its owner rotates "
                "that key; others choose another name."
            )


def rotate_key(store: Store) -> ContributorKey:
    """Change the user's key for a fresh one of the same name; what the old one signed still counts.

    The fresh key is on disk before the log speaks of it, so that a rotation that was cut short is
    finished by the next call.
    """
    identity = store.identity
    old = identity.contributor
    with reading(store.engine) as connection:
        ring = read_keyring(connection, identity.log.public)
    known = ring.keys[old.id]
    pending = _pending(store.keys, ring, known)
    if pending is None:
        pending = ContributorKey.new(old.name)
        pending.save(_kept(store.keys, pending))
        with writing(store.engine) as connection:
            ring = read_keyring(connection, identity.log.public)
            entry = signed_entry("key-rotate", key_fields(pending), old)
            _append(connection, store, ring, entry)
    _put_in_place(store.keys, old, pending)
    store.forget_identity()
    store.publish()
    return pending


def revoke_key(store: Store, identity: str) -> LogEntry:
    """Let a key count no more from here on; what it signed before stays valid.

    Parameters
    ----------
    store
        Whose log.
    identity
        The key's id. The user's own key signs for itself; for any other the log's key does.
    """
    own = store.identity
    with writing(store.engine) as connection:
        ring = read_keyring(connection, own.log.public)
        known, size = ring.keys.get(identity), read_state(connection).frontier.size
        if known is None:
            raise NotFound(f"The log knows no key {identity}.")
        if not known.counts_at(size):
            raise InputError(f"The key {identity} of {known.name} counts no more already.")
        signer = own.contributor if identity == own.contributor.id else own.log
        entry = signed_entry("key-revoke", {"key": identity}, signer)
        _append(connection, store, ring, entry)
    store.publish()
    return entry


def accept_entry(store: Store, leaf: bytes) -> LogEntry:
    """Append an entry that its contributor signed elsewhere: a rotation, revocation or tombstone.

    Raises
    ------
    IntegrityError
        For a signature that does not count, or an entry about somebody else's key or record.
    """
    entry = LogEntry.parse(leaf)
    if entry.kind not in ("key-rotate", "key-revoke", "tombstone"):
        raise InputError(f"An entry of kind {entry.kind!r} is not sent alone.")
    identity = store.identity
    with writing(store.engine) as connection:
        ring = read_keyring(connection, identity.log.public)
        if entry.kind == "tombstone":
            bury(connection, ring, entry, identity)
        else:
            _append(connection, store, ring, entry)
    store.publish()
    if entry.kind == "tombstone":
        scrub(store)
    return entry


def _append(connection: Connection, store: Store, ring: Keyring, entry: LogEntry) -> None:
    """Append an entry that the log's own rules admit at its place."""
    ring.admit(read_state(connection).frontier.size, entry)
    append(connection, [entry], store.identity.signer)


def _kept(folder: Path, key: ContributorKey) -> Path:
    return folder / f"contributor-{key.id}.key"


def _pending(folder: Path, ring: Keyring, known: KnownKey) -> ContributorKey | None:
    """A key that the log has rotated to, and that is not in its place yet."""
    if known.until is None:
        return None
    for identity, later in ring.keys.items():
        path = folder / f"contributor-{identity}.key"
        if later.line == known.line and later.since == known.until and path.exists():
            return ContributorKey.load(path)
    raise InputError(
        f"The key of {known.name} counts no more: make another with `materialabs ledger key new`."
    )


def _put_in_place(folder: Path, old: ContributorKey, new: ContributorKey) -> None:
    """Let the user's key file hold the new key; the old one is kept under its id."""
    kept = _kept(folder, new)
    if not kept.exists():
        new.save(kept)
    archive = _kept(folder, old)
    if not archive.exists():
        old.save(archive)
    temporary = folder / f".{OWN_KEY}.{os.getpid()}.part"
    try:
        temporary.unlink(missing_ok=True)
        os.link(kept, temporary)
        temporary.replace(folder / OWN_KEY)
    except OSError as error:
        raise ResourceError(f"The key in {folder} cannot be replaced: {error.strerror}.") from error
