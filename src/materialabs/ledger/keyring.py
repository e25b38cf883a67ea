"""Which key counted at which place of the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from materialabs.errors import IntegrityError
from materialabs.ledger.entries import LogEntry, read_key_fields
from materialabs.ledger.keys import key_id


@dataclass
class KnownKey:
    """A key, its owner's name, and the places between which it counts.

    Parameters
    ----------
    name, public
        Whose key, and its 32 bytes.
    since, until
        Entries with ``since`` <= index < ``until`` may be signed with it.
    line
        Id of the first of the keys that this one came from by rotation; its own for a new one.
    """

    name: str
    public: bytes
    since: int
    until: int | None = None
    line: str = ""

    def counts_at(self, index: int) -> bool:
        """Whether the key was valid at this place of the log."""
        return self.since <= index and (self.until is None or index < self.until)


@dataclass
class Keyring:
    """The keys of a log, learnt by reading its entries in order.

    Parameters
    ----------
    authority
        Public key of the log itself: it adds and may revoke keys.
    keys
        Key id to key, filled by :meth:`admit`.
    """

    authority: bytes
    keys: dict[str, KnownKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = key_id(self.authority)
        self.keys.setdefault(own, KnownKey("log", self.authority, 0, line=own))
        self._own = own

    def public_at(self, contributor: str, index: int) -> bytes:
        """The public key behind an id, refused where it did not count."""
        known = self.keys.get(contributor)
        if known is None:
            raise IntegrityError(f"Entry {index} is signed by {contributor}, a key never added.")
        if not known.counts_at(index):
            raise IntegrityError(
                f"Entry {index} is signed by {known.name} ({contributor}), whose key did not "
                "count there."
            )
        return known.public

    def admit(self, index: int, entry: LogEntry) -> None:
        """Check an entry's signature at its place, and learn what it says of keys."""
        entry.verify(self.public_at(entry.contributor, index))
        self.learn(index, entry)

    def learn(self, index: int, entry: LogEntry) -> None:
        """Take what an entry says of keys; its signature has been checked."""
        if entry.kind == "key-add":
            self._require_authority(index, entry)
            self._add(index, entry, "")
        elif entry.kind == "key-rotate":
            old = self.keys[entry.contributor]
            if entry.contributor == self._own or entry.fields["name"] != old.name:
                raise IntegrityError(
                    f"Entry {index} rotates the key of {old.name} into {entry.fields['name']!r}: "
                    "the name stays, and the log's own key is not rotated."
                )
            self._add(index, entry, old.line)
            old.until = min(old.until or index + 1, index + 1)
        elif entry.kind == "key-revoke":
            if entry.fields["key"] != entry.contributor:
                self._require_authority(index, entry)
            self._revoke(index, entry.fields["key"])

    def require_author(self, index: int, entry: LogEntry, contributors: Iterable[str]) -> None:
        """Refuse a tombstone by anyone but the log and those who signed the record.

        Parameters
        ----------
        index, entry
            The tombstone and its place.
        contributors
            Ids of the keys that signed the record before that place.
        """
        lines = {self.keys[one].line for one in contributors if one in self.keys}
        if not lines:
            raise IntegrityError(f"Entry {index} withdraws {entry.record}, which is not there.")
        if entry.contributor != self._own and self.keys[entry.contributor].line not in lines:
            raise IntegrityError(
                f"Entry {index} withdraws {entry.record} with the key of somebody else."
            )

    def _add(self, index: int, entry: LogEntry, line: str) -> None:
        name, public = read_key_fields(entry.fields)
        identity = key_id(public)
        if identity in self.keys:
            raise IntegrityError(f"Entry {index} adds the key {identity} a second time.")
        self.keys[identity] = KnownKey(name, public, index + 1, line=line or identity)

    def _revoke(self, index: int, identity: str) -> None:
        known = self.keys.get(identity)
        if known is None or identity == self._own:
            raise IntegrityError(f"Entry {index} revokes {identity}, which cannot be revoked.")
        known.until = min(known.until or index, index)

    def _require_authority(self, index: int, entry: LogEntry) -> None:
        if entry.contributor != self._own:
            raise IntegrityError(f"Entry {index} speaks for the log without the log's key.")
