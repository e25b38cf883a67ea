"""The leaves of the log: who said what, when, under whose signature.

A leaf is one line of canonical JSON (RFC 8785), a newline, and the 64 bytes of the contributor's
Ed25519 signature over ``materialabs entry v1``, a newline and that line. The signature is inside
the leaf, so that the tree covers it too.

Kinds of entries:

``record``      a record, by its id, perhaps with the licence under which it is given
``key-add``     a new contributor's key; signed by the log's key, with the new key's own proof
``key-rotate``  a contributor's new key; signed by the old one, with the new key's own proof
``key-revoke``  a key that counts no more from here on; signed by itself or by the log's key
``tombstone``   a record whose content was withdrawn; its hash stays
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.keys import ContributorKey, check_name, key_id, signature_is_valid
from materialabs.ledger.merkle import leaf_hash
from materialabs.ledger.notes import SIGNATURE_SIZE

VERSION = 1
"""Version of the entry's form; old versions verify for ever."""

DOMAIN = b"materialabs entry v1\n"
"""Stands before every signed entry, so that no other text of ours can pass for one."""

PROOF_DOMAIN = b"materialabs key v1\n"
"""Stands before the text by which a new key proves that its owner holds it."""

LARGEST_LEAF = 65_535
"""Bytes (C2SP tlog-tiles prefixes entries with two bytes of length)."""

FIELDS: dict[str, tuple[str, ...]] = {
    "record": ("record",),
    "key-add": ("name", "proof", "public"),
    "key-rotate": ("name", "proof", "public"),
    "key-revoke": ("key",),
    "tombstone": ("reason", "record"),
}
"""Fields of each kind beside ``contributor``, ``kind``, ``time`` and ``v``."""

OPTIONAL: dict[str, tuple[str, ...]] = {"record": ("licence",)}
"""Fields that an entry of a kind may have and need not."""

LONGEST_LICENCE = 500
"""Characters of a licence: an SPDX expression or an address."""

_HEX_RECORD = re.compile(r"[0-9a-f]{64}")
_HEX_KEY = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class EntrySigner(Protocol):
    """Whoever signs entries: a key in memory, or something that holds one."""

    @property
    def id(self) -> str:
        """The key's short name."""

    def sign(self, message: bytes) -> bytes:
        """Sign a message; 64 bytes."""


def timestamp(moment: datetime | None = None) -> str:
    """A time as entries write it: UTC, microseconds, a Z."""
    exact = datetime.now(UTC) if moment is None else moment.astimezone(UTC)
    return exact.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@dataclass(frozen=True)
class LogEntry:
    """One leaf of the log, taken apart.

    Parameters
    ----------
    kind
        One of :data:`FIELDS`.
    contributor
        Id of the key that signed.
    time
        When the contributor signed, UTC.
    fields
        The kind's own fields.
    signature
        64 bytes.
    """

    kind: str
    contributor: str
    time: str
    fields: dict[str, str]
    signature: bytes

    @property
    def record(self) -> str:
        """Id of the record that the entry speaks of, or an empty text."""
        return self.fields.get("record", "")

    @property
    def licence(self) -> str:
        """Under which the contributor gives the record; empty where none is stated."""
        return self.fields.get("licence", "")

    def statement(self) -> bytes:
        """The signed line of canonical JSON."""
        return _statement(self.kind, self.contributor, self.time, self.fields)

    def to_leaf(self) -> bytes:
        """The bytes that the tree holds."""
        return self.statement() + b"\n" + self.signature

    def leaf_hash(self) -> bytes:
        """The hash that the tree holds."""
        return leaf_hash(self.to_leaf())

    @classmethod
    def parse(cls, leaf: bytes) -> Self:
        """Read a leaf; anything but the one canonical form is refused."""
        if not SIGNATURE_SIZE + 1 < len(leaf) <= LARGEST_LEAF:
            raise IntegrityError("A leaf of the log has a wrong length.")
        line, newline, signature = (
            leaf[: -SIGNATURE_SIZE - 1],
            leaf[-SIGNATURE_SIZE - 1 : -SIGNATURE_SIZE],
            leaf[-SIGNATURE_SIZE:],
        )
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise IntegrityError("A leaf of the log is not an entry.") from error
        if newline != b"\n" or not isinstance(document, dict):
            raise IntegrityError("A leaf of the log is not an entry.")
        entry = cls._from_document(document, signature)
        if entry.statement() != line:
            raise IntegrityError("An entry of the log is not in canonical form.")
        return entry

    @classmethod
    def _from_document(cls, document: dict[str, Any], signature: bytes) -> Self:
        kind = document.get("kind")
        names = FIELDS.get(kind) if isinstance(kind, str) else None
        if names is None or document.get("v") != VERSION:
            raise IntegrityError(f"An entry of kind {kind!r} is not known to this version.")
        names += tuple(name for name in OPTIONAL.get(str(kind), ()) if name in document)
        if set(document) != {"contributor", "kind", "time", "v", *names}:
            raise IntegrityError(f"An entry of kind {kind!r} has wrong fields.")
        if any(not isinstance(document[name], str) for name in ("contributor", "time", *names)):
            raise IntegrityError(f"An entry of kind {kind!r} has a field that is not a text.")
        entry = cls(
            str(kind),
            document["contributor"],
            document["time"],
            {name: document[name] for name in names},
            signature,
        )
        entry._check_fields()
        return entry

    def _check_fields(self) -> None:
        right = [_HEX_KEY.fullmatch(self.contributor), _TIME.fullmatch(self.time)]
        if self.record:
            right.append(_HEX_RECORD.fullmatch(self.record))
        if "key" in self.fields:
            right.append(_HEX_KEY.fullmatch(self.fields["key"]))
        if not all(right) or ("licence" in self.fields and not is_licence(self.licence)):
            raise IntegrityError(f"An entry of kind {self.kind!r} has a malformed field.")

    def verify(self, public: bytes) -> None:
        """Refuse an entry that this public key did not sign."""
        if key_id(public) != self.contributor:
            raise IntegrityError("An entry names another key than the one it is checked with.")
        if not signature_is_valid(public, self.signature, DOMAIN + self.statement()):
            raise IntegrityError("The signature of an entry is forged.")


def _statement(kind: str, contributor: str, time: str, fields: dict[str, str]) -> bytes:
    if kind == "record":
        return record_statement(contributor, time, fields["record"], fields.get("licence", ""))
    import rfc8785

    document = {"contributor": contributor, "kind": kind, "time": time, "v": VERSION, **fields}
    return bytes(rfc8785.dumps(document))


def record_statement(contributor: str, time: str, record: str, licence: str = "") -> bytes:
    """The line of canonical JSON that is signed for a record; written out, since most are such."""
    stated = f'"licence":{json.dumps(licence, ensure_ascii=False)},' if licence else ""
    return (
        f'{{"contributor":"{contributor}","kind":"record",{stated}"record":"{record}",'
        f'"time":"{time}","v":{VERSION}}}'
    ).encode()


def is_licence(text: str) -> bool:
    """Whether a text can stand in an entry: one line that can be read, of bounded length."""
    return 0 < len(text) <= LONGEST_LICENCE and text.isprintable() and text == text.strip()


def any_of(entries: Iterable[LogEntry]) -> str:
    """The licences under which contributors gave one record, as an SPDX choice among them."""
    stated = dict.fromkeys(entry.licence for entry in entries if entry.licence)
    return " OR ".join(stated)[:LONGEST_LICENCE].strip()


def check_licence(text: str) -> str:
    """A licence as entries hold it; empty where none is stated."""
    plain = " ".join(text.split())
    if plain and not is_licence(plain):
        raise InputError(
            f"A licence is a name such as CC-BY-4.0 or an address, of at most {LONGEST_LICENCE} "
            "characters."
        )
    return plain


def signed_entry(
    kind: str, fields: dict[str, str], signer: EntrySigner, time: str | None = None
) -> LogEntry:
    """Make and sign an entry."""
    when = time or timestamp()
    signature = signer.sign(DOMAIN + _statement(kind, signer.id, when, fields))
    return LogEntry(kind, signer.id, when, fields, signature)


def record_entry(
    record: str, signer: EntrySigner, time: str | None = None, licence: str = ""
) -> LogEntry:
    """Sign for a record, given under a licence where one is stated."""
    return signed_entry("record", record_fields(record, licence), signer, time)


def record_fields(record: str, licence: str = "") -> dict[str, str]:
    """The fields of a record's entry."""
    stated = check_licence(licence)
    return {"record": record} | ({"licence": stated} if stated else {})


def key_fields(key: ContributorKey) -> dict[str, str]:
    """A new key's name and public half, and its proof that the owner holds the private one."""
    public = base64.b64encode(key.public).decode()
    proof = key.sign(PROOF_DOMAIN + f"{key.name}\n{public}".encode())
    return {"name": key.name, "public": public, "proof": base64.b64encode(proof).decode()}


def read_key_fields(fields: dict[str, str]) -> tuple[str, bytes]:
    """Name and public key of a ``key-add`` or ``key-rotate``; refuses one without its proof."""
    try:
        public = base64.b64decode(fields["public"], validate=True)
        proof = base64.b64decode(fields["proof"], validate=True)
    except ValueError as error:
        raise IntegrityError("A key entry is not base64.") from error
    message = PROOF_DOMAIN + f"{fields['name']}\n{fields['public']}".encode()
    if not signature_is_valid(public, proof, message):
        raise IntegrityError(f"The key of {fields['name']!r} was added without its owner's proof.")
    return check_name(fields["name"]), public
